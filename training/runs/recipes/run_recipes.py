"""The recipe of each run kind: the library's settings, plus those that only the platform knows (where prompts
and starting models come from). Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from annotation.models.task import MAX_RESPONSES, MIN_RESPONSES
from training.rlhf.core.recipe import Recipe
from training.rlhf.core.recipes import (
    EvaluateConfig,
    PPOConfig,
    RejectionSamplingConfig,
    RewardModelConfig,
    SampleConfig,
    SFTConfig,
)

# The name of the tiny model that the demo world builds for itself (training.demo_world), in place of a
# download.
DEMO_WORLD = "demo-world"


class StartsFromPolicy(Recipe):
    """A kind whose start is the input `policy`, unless the recipe names another model."""

    base_model: str = Field(
        "",
        max_length=500,
        description="A hub name (Qwen/Qwen3-0.6B) or a folder on the worker's machine to use in place of the "
        "policy among the inputs. Empty: the input.",
    )


class UsesPrompts(Recipe):
    """A kind that answers the project's own prompts."""

    max_prompts: int = Field(
        512,
        ge=1,
        le=1_000_000,
        description="How many of the project's prompts to use, drawn by the seed; all where there are fewer.",
    )


class SFTRecipe(SFTConfig):
    """Supervised fine-tuning on demonstrations."""

    base_model: str = Field(
        DEMO_WORLD,
        min_length=1,
        max_length=500,
        description="What to start from where no policy is among the inputs: a hub name (Qwen/Qwen3-0.6B), a "
        "folder on the worker's machine, or demo-world for a new tiny model.",
    )
    demonstrations: Literal["demo_world", "best_responses"] = Field(
        "demo_world",
        description="What to imitate: conversations made by the demo world, or the best response of each "
        "ranking of the snapshot.",
    )
    max_demonstrations: int = Field(
        9_500, ge=1, le=10_000_000, description="How many demonstrations to use; all where there are fewer."
    )


class RewardModelRecipe(StartsFromPolicy, RewardModelConfig):
    """A reward model from the rankings of a snapshot."""


class RejectionSamplingRecipe(UsesPrompts, StartsFromPolicy, RejectionSamplingConfig):
    """Several responses per prompt, the reward model's best of them, and fine-tuning on those."""


class PPORecipe(UsesPrompts, StartsFromPolicy, PPOConfig):
    """Proximal policy optimisation against the reward model."""


class SampleRecipe(UsesPrompts, StartsFromPolicy, SampleConfig):
    """The policy's responses become ranking tasks."""

    responses_per_prompt: int = Field(
        4, ge=MIN_RESPONSES, le=MAX_RESPONSES, description="Different responses wanted for each task."
    )
    max_prompts: int = Field(
        32,
        ge=1,
        le=1_000_000,
        description="How many prompts to answer: those with the fewest tasks come first.",
    )
    overlap: int = Field(1, ge=1, le=50, description="How many annotators rank each new task.")
    priority: int = Field(
        10,
        ge=-1000,
        le=1000,
        description="Tasks of a higher priority are served first; imported ones have 0.",
    )


class EvaluateRecipe(UsesPrompts, StartsFromPolicy, EvaluateConfig):
    """The mean score of the policy's responses to held-out prompts, with its standard error."""

    responses_per_prompt: int = Field(
        4,
        ge=1,
        le=64,
        description="Answers judged per prompt: more of them take the luck of the draw out of the mean.",
    )
    judge: Literal["gold", "reward_model"] = Field(
        "gold",
        description="Who scores: the demo world's gold preference function (demo prompts only), or the "
        "reward model.",
    )
    split: Literal["heldout", "train", "all"] = Field(
        "heldout", description="Which prompts: held out of all training, trained on, or both."
    )
