"""The recipe for rejection sampling."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.rewards import UsesRewards
from training.rlhf.recipes.sft import SFTConfig


class RejectionSamplingConfig(UsesRewards, SFTConfig):
    """Settings for rejection sampling: the sampling itself and the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Number of answers sampled per prompt (N). Only the best answer is kept."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=5,
        description="Sampling temperature. Higher values give more varied answers to choose from.",
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Minimum difference between the best answer's reward and the mean reward of all answers"
        " to the prompt, in reward units. Prompts with a smaller difference are excluded.",
    )
