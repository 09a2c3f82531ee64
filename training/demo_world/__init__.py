"""The demo world: a small customer-support domain with known correct answers.

Prompts and answers are made from templates: 36 kinds of question and 11 kinds of follow-up question.
Templates contain values that must be copied, such as names, dates and order numbers. Answers come in nine
styles, eight of them flawed. `gold_reward` scores the text of any answer. In about a minute, a model with 1.3
million parameters learns to answer the questions. A complete preference-learning loop can therefore be
measured against known correct answers.

    prompts = demo_world.prompts(100, seed=1)
    tokenizer = demo_world.build_tokenizer()
    policy = demo_world.build_policy(tokenizer, seed=0)
    demonstrations = demo_world.demonstrations(8000, seed=2)
    sft.train(SFTConfig(), base_model=Loaded(policy, tokenizer), demonstrations=demonstrations, …)
"""

import random

from training.demo_world.gold import MAX_GOLD, Gold, gold_reward, judge
from training.demo_world.model import build_policy, build_tokenizer
from training.demo_world.replies import STYLES, draw_style, respond
from training.demo_world.scenario import (
    Scenario,
    UnknownPrompt,
    draw_conversations,
    draw_scenario,
    knows,
    parse,
)
from training.rlhf.core.messages import Demonstration

__all__ = [
    "MAX_GOLD",
    "STYLES",
    "Gold",
    "Scenario",
    "UnknownPrompt",
    "build_policy",
    "build_tokenizer",
    "demonstrations",
    "draw_scenario",
    "gold_reward",
    "judge",
    "knows",
    "parse",
    "prompts",
    "respond",
]


def prompts(n: int, seed: int) -> list[list[dict[str, str]]]:
    """Return `n` different prompts. With the same seed, a longer list starts with the prompts of a shorter
    list."""
    return [messages for _, messages in draw_conversations(n, random.Random(f"prompts {seed}"))]


def demonstrations(n: int, seed: int) -> list[Demonstration]:
    """Return `n` different prompts, each with one answer in a random style. The styles are drawn with the
    weights in `STYLES`, so about a quarter of the answers are good."""
    rng = random.Random(f"demonstrations {seed}")
    return [
        Demonstration(messages, respond(scenario, draw_style(rng), rng))
        for scenario, messages in draw_conversations(n, rng)
    ]
