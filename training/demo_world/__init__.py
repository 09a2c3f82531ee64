"""The demo world: a small customer-support domain whose right answers are known.

Prompts and answers are made from templates (36 kinds of question, 11 of second question, values such as
names, dates and order numbers to be copied); answers come in nine styles, eight of them flawed;
`gold_reward` judges any text. A model of 1.3 million weights learns to speak here in about a minute, and a
whole preference-learning loop can be measured against the truth.

    prompts = world.prompts(100, seed=1)
    tokenizer = world.build_tokenizer()
    policy = world.build_policy(tokenizer, seed=0)
    demonstrations = world.demonstrations(8000, seed=2)
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
    """`n` different prompts; a longer list with the same seed starts with the shorter one."""
    return [messages for _, messages in draw_conversations(n, random.Random(f"prompts {seed}"))]


def demonstrations(n: int, seed: int) -> list[Demonstration]:
    """`n` different prompts, each with one answer in a style drawn by the weights of `STYLES`: a quarter
    are good."""
    rng = random.Random(f"demonstrations {seed}")
    return [
        Demonstration(messages, respond(scenario, draw_style(rng), rng))
        for scenario, messages in draw_conversations(n, rng)
    ]
