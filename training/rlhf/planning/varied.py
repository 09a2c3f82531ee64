"""The cost of choosing the prompts whose answers have the most varied rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.answers import answer_length, answering
from training.rlhf.planning.cost import SCORING_TOKENS, Conditions, Cost, Data, Part, Stage
from training.rlhf.planning.trained import bytes_per_weight, frozen
from training.rlhf.planning.transformer import forward_operations, passing_bytes
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.varied import ChoosesVaried
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rollouts import RolloutConfig

PROMPTS_PER_BATCH = 64  # the same value as in selection.varied, which imports torch


def chosen(recipe: Recipe, data: Data) -> Data:
    """Return the part of the run's data that the training loop uses: only the chosen prompts."""
    if not isinstance(recipe, ChoosesVaried):
        return data
    return replace(data, items=math.ceil(recipe.varied_share * data.items))


def with_measuring(
    cost: Cost, policy: Shape, judges: Sequence[Shape], recipe: Recipe, data: Data, *, given: Conditions
) -> Cost:
    """Return the cost of the run. If the recipe chooses the prompts whose rewards vary most, the cost
    includes sampling and scoring the answers that show how much the rewards vary."""
    if not isinstance(recipe, ChoosesVaried) or recipe.varied_share == 1:
        return cost
    assert isinstance(recipe, RolloutConfig | RejectionSamplingConfig)
    n, limit = recipe.varied_samples, recipe.max_new_tokens
    number = bytes_per_weight(recipe)
    loaded = tuple(
        frozen(recipe, name, shape)
        for name, shape in [("policy", policy), *(("reward model", judge) for judge in judges)]
    )
    asking = answering(
        policy,
        data,
        n=n,
        limit=limit,
        per_batch=PROMPTS_PER_BATCH,
        given=given,
        held=sum(part.bytes for part in loaded),
        memory=recipe.generation_memory,
        number=number,
    )
    group = data.prompt + n * answer_length(limit, data, given=given)
    scoring = Part("activations", max(passing_bytes(judge, SCORING_TOKENS, number) for judge in judges))
    scored = sum(forward_operations(judge, group, around=group, projected=0) for judge in judges)
    calls = sum(judge.layers for judge in judges) * group / SCORING_TOKENS
    stages = (
        Stage("generate", (*loaded, *asking.parts), asking.operations, asking.layer_calls),
        Stage("score", (*loaded, scoring), data.items * scored, data.items * calls),
    )
    return Cost((*stages, *cost.stages))
