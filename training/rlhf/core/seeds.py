"""Seeds: one independent stream of random numbers for each purpose and step of a run."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seed_for(seed: int, purpose: str, *numbers: int) -> int:
    """Return a 63-bit seed from a run's seed, a purpose such as "rollout", and numbers such as the step.

    The seed is a hash. With a sum such as `seed + step`, step 2 of seed 0 would draw the same numbers as step
    1 of seed 1, and results over several seeds would not be independent.
    """
    digest = hashlib.sha256(f"{seed} {purpose} {' '.join(map(str, numbers))}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_for(seed: int, purpose: str, *numbers: int) -> torch.Generator:
    """Return a new generator on the CPU, seeded with `seed_for`. A loop that creates a new generator at every
    step has no generator state to save in its checkpoints.

    Torch's CPU generator uses only the lower 32 bits of a seed, so the probability that two of 10,000
    streams are equal is 1 %.
    """
    import torch

    return torch.Generator().manual_seed(seed_for(seed, purpose, *numbers))


def seeds_from(generator: torch.Generator, count: int) -> list[int]:
    """Draw 63-bit seeds from a generator on the CPU, for example one per prompt."""
    import torch

    drawn: list[int] = torch.randint(2**63 - 1, (count,), generator=generator).tolist()
    return drawn


def batches_in_random_order(
    seed: int, purpose: str, count: int, *, size: int, epochs: int
) -> list[list[int]]:
    """Return the numbers from 0 to ``count`` - 1 in batches, one batch for each step of a run. Each epoch has
    its own random order. The last batch of an epoch can be smaller than ``size``."""
    import torch

    orders = [torch.randperm(count, generator=generator_for(seed, purpose, epoch)) for epoch in range(epochs)]
    return [part.tolist() for order in orders for part in torch.split(order, size)]


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
