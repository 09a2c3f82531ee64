"""The recipes for runs that only generate answers."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.parts.generation import UsesGeneration
from training.rlhf.recipes.parts.templates import UsesTemplate


class SampleConfig(UsesTemplate, UsesGeneration):
    """Settings for sampling answers from a policy."""

    responses_per_prompt: int = Field(4, ge=1, le=64, description="Number of distinct answers per prompt.")
    temperature: float = Field(
        1.0,
        ge=0,
        le=5,
        description="Sampling temperature. Higher values give more varied answers; 0 always gives the most "
        "likely answer.",
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the smallest set of likely tokens whose probabilities add up to at"
        " least this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")


class EvaluateConfig(UsesTemplate, UsesGeneration):
    """Settings for an evaluation."""

    responses_per_prompt: int = Field(1, ge=1, le=64, description="Number of answers scored per prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Sampling temperature. With 0, only the most likely answer is scored."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the smallest set of likely tokens whose probabilities add up to at"
        " least this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")
