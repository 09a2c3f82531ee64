"""The additional cost of scoring with several reward models, with ensembles, or at the ends of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import SCORING_TOKENS, Conditions, Cost, Data, Part, Stage
from training.rlhf.planning.trained import bytes_per_weight
from training.rlhf.planning.transformer import FLOAT, forward_operations, passing_bytes
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.weights import TrainsPolicy
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rollouts import RolloutConfig

MAX_PARTIAL_ANSWERS = 8  # the same value as in judging.shaping, which imports torch


def with_scoring(
    cost: Cost,
    first: Shape | None,
    further: Sequence[Shape],
    recipe: Recipe,
    data: Data,
    *,
    given: Conditions,
    members: Sequence[tuple[Shape, int]] = (),
) -> Cost:
    """Return the cost of the run, including its additional scoring.

    The `further` reward models are frozen, are in memory during every stage, and score all sampled answers.
    If the reward is spread over sentences, all reward models also score partial answers. `members` contains
    one entry for each reward model whose uncertainty is estimated by an ensemble of adapters: the trunk's
    shape and the number of members. Each ensemble has a trunk of its own, which runs once per member.
    """
    spread = getattr(recipe, "reward_spread", "end") == "sentences"
    if first is None or not (further or spread or members):
        return cost
    prompts, n, limit = _sampled(recipe, data)
    number = bytes_per_weight(recipe) if isinstance(recipe, TrainsPolicy) else FLOAT
    answer = float(limit) if given.cautious else min(float(limit), data.response)
    whole = data.prompt + n * answer  # the answers to a prompt share the prompt
    # The partial answers are assumed to be equally spaced, so their mean length is half of the answer's
    # length.
    partial = n * (data.prompt + MAX_PARTIAL_ANSWERS * answer / 2) if spread else 0.0
    work = [
        (first, partial),
        *((judge, whole + partial) for judge in further),
        *((trunk, size * (whole + partial)) for trunk, size in members),
    ]
    beside = [Part(_name(len(further)), number * sum(judge.weights for judge in further))] if further else []
    if members:
        beside.append(Part("weights: ensembles", FLOAT * sum(trunk.weights for trunk, _ in members)))
    stages = tuple(replace(stage, parts=(*stage.parts, *beside)) for stage in cost.stages)
    [scored] = [stage for stage in stages if stage.name == "score"]
    loaded = [part for part in scored.parts if part.name != "activations"]
    scoring = Stage(
        "score",
        (
            *loaded,
            Part("activations", max(passing_bytes(judge, SCORING_TOKENS, number) for judge, _ in work)),
        ),
        sum(
            prompts * forward_operations(judge, tokens, around=whole / n, projected=0)
            for judge, tokens in work
        ),
        sum(prompts * judge.layers * tokens / SCORING_TOKENS for judge, tokens in work),
    )
    return Cost((*stages, scoring))


def _name(further: int) -> str:
    return f"weights: {further} further reward model{'s' if further > 1 else ''}"


def _sampled(recipe: Recipe, data: Data) -> tuple[float, int, int]:
    """Return the number of prompts that are answered, the number of answers to each of them, and the maximum
    length of an answer."""
    if isinstance(recipe, RolloutConfig):
        prompts = recipe.steps * recipe.rollout_prompts
        return prompts, recipe.responses_per_prompt, recipe.max_new_tokens
    if isinstance(recipe, RejectionSamplingConfig):
        return data.items, recipe.samples_per_prompt, recipe.max_new_tokens
    raise TypeError(f"runs with a {type(recipe).__name__} don't use several reward models")
