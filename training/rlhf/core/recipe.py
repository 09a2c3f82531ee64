"""The base of every recipe: one typed definition gives validation, JSON Schema, the browser form and the
docs."""

import random

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """Settings of one run. Frozen, so that what was validated is what runs; an unknown field is an error,
    so that a misspelt setting never silently keeps its default. Every field carries a description and
    bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed of every random choice: data order, sampling, new weights. "
        "The same seed gives the same run on the same machine (CPU).",
    )


def seed_everything(seed: int) -> None:
    """Seed the global generators of `random`, NumPy and torch (CPU and every GPU).

    For what draws from global state inside libraries: new weights and dropout. The loops' own choices
    (data order, sampling) come from explicit generators, so an extra draw in one place doesn't shift the
    others.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
