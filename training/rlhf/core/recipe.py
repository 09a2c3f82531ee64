"""The base class of every recipe. One typed definition gives validation, the JSON Schema, the browser form
and the docs."""

import random

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """The settings of one run. Frozen, so that the validated values are the ones that run. An unknown field
    is an error, so that a misspelt setting never silently keeps its default. Every field has a description
    and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed of all random choices: data order, sampling and initial weights. The same seed gives "
        "the same run on the same machine (CPU).",
    )


def seed_everything(seed: int) -> None:
    """Seed the global generators of `random`, NumPy and torch (CPU and every GPU).

    For libraries that draw from global state: initial weights and dropout. The loops' own choices (data
    order, sampling) use explicit generators, so an extra draw in one place doesn't affect the others.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
