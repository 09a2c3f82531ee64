"""The cost of further reward models, in addition to a run's first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from training.rlhf.models.shapes import Shape
from training.rlhf.planning.cost import SCORING_TOKENS, Cost, Data, Part, Stage
from training.rlhf.planning.transformer import FLOAT, forward_operations, passing_bytes
from training.rlhf.recipes.base import Recipe
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.rollouts import RolloutConfig


def with_further_judges(
    cost: Cost, judges: Sequence[Shape], recipe: Recipe, data: Data, *, cautious: bool
) -> Cost:
    """Return the cost of the run with these frozen reward models in memory during every stage. They score all
    sampled answers."""
    if not judges:
        return cost
    prompts, answers, limit = _sampled(recipe, data)
    answer = float(limit) if cautious else min(float(limit), data.response)
    group = data.prompt + answers * answer  # the answers to a prompt share it
    beside = Part(
        f"weights: {len(judges)} further reward model{'s' if len(judges) > 1 else ''}",
        FLOAT * sum(judge.weights for judge in judges),
    )
    stages = tuple(replace(stage, parts=(*stage.parts, beside)) for stage in cost.stages)
    loaded = [part for part in stages[0].parts if part.name.startswith("weights")]
    scoring = Stage(
        "score",
        (*loaded, Part("activations", max(passing_bytes(judge, SCORING_TOKENS) for judge in judges))),
        sum(prompts * forward_operations(judge, group, around=group, projected=0) for judge in judges),
        sum(prompts * judge.layers * group / SCORING_TOKENS for judge in judges),
    )
    return Cost((*stages, scoring))


def _sampled(recipe: Recipe, data: Data) -> tuple[float, int, int]:
    """The number of answered prompts, the number of answers to each of them, and the maximum length of an
    answer."""
    if isinstance(recipe, RolloutConfig):
        prompts = recipe.steps * recipe.rollout_prompts
        return prompts, recipe.responses_per_prompt, recipe.max_new_tokens
    if isinstance(recipe, RejectionSamplingConfig):
        return data.items, recipe.samples_per_prompt, recipe.max_new_tokens
    raise TypeError(f"runs with a {type(recipe).__name__} don't use several reward models")
