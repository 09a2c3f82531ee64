"""Seeding of the global random generators."""

import random


def seed_everything(seed: int) -> None:
    """Seed the global generators of `random`, NumPy and torch (CPU and every GPU).

    Libraries draw new weights and dropout from global state. The loops' own choices (data order, sampling)
    come from explicit generators, so an extra draw from global state does not change these choices.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
