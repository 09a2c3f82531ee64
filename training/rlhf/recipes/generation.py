"""Settings of every recipe that generates answers."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.base import Recipe


class UsesGeneration(Recipe):
    """Settings for the memory of generation. They do not change the answers."""

    generation_memory: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="Memory for the keys and values of answers that are generated together, in GB. If empty,"
        " half of the free memory of a GPU, or a quarter of the free memory on a CPU.",
    )
