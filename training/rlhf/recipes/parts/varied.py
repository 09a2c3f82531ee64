"""Settings that choose prompts by the spread of their answers' rewards."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.parts.base import Recipe


class ChoosesVaried(Recipe):
    """Settings for choosing the prompts whose answers have the most varied rewards."""

    varied_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of the prompts that is used: the prompts whose answers have the most varied "
        "rewards. If the share is below 1, the run first samples and scores varied_samples answers to each "
        "prompt with the starting policy. These answers are generated on the worker, even if the recipe "
        "names a server. A prompt whose answers all have the same reward is left out, because the policy "
        "can't learn from it.",
    )
    varied_samples: int = Field(
        4,
        ge=2,
        le=64,
        description="Number of answers sampled per prompt to measure the spread of their rewards, if"
        " varied_share is below 1.",
    )
