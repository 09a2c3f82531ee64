"""Settings of the loops that improve a policy with a reward model."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.base import Recipe


class UsesRewards(Recipe):
    """Settings for scoring answers."""

    caution: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Each score is reduced by this multiple of its standard deviation. Answers with"
        " uncertain scores are then favoured less. Values above 0 require a reward model that was"
        " trained with the setting uncertainty.",
    )
