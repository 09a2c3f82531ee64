"""Seeding of the global random generators."""

import random


def seed_everything(seed: int) -> None:
    """Seed the global generators of `random`, NumPy and torch (CPU and every GPU).

    Libraries draw new weights and dropout masks from the global generators. The loops' own choices, such as
    data order and sampling, come from explicit generators. An additional draw from a global generator
    therefore does not change the loops' choices.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
