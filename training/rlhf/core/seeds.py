"""Seeding of the global random generators."""

import random


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
