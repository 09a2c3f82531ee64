"""Learning rates: the peak for a model of a given size, and the schedule over a run."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from training.rlhf.recipes.base import Schedule

SMALL, LARGE = 2e6, 1e9  # parameter counts of the demo policy and of a small real model


def rate_for(model: nn.Module, *, at_2m: float, at_1b: float) -> float:
    """Interpolate between two peak rates that are known to work.

    The log rate is linear in the log of the parameter count. A rate that trains a model with 2M parameters
    within a minute destroys a model with 1B parameters within ten steps. No single rate is therefore a sound
    default for both sizes. A model smaller than SMALL gets the rate for SMALL, and a model larger than LARGE
    gets the rate for LARGE.
    """
    weights: Any = sum(parameter.numel() for parameter in model.parameters())
    share = math.log(min(max(weights, SMALL), LARGE) / SMALL) / math.log(LARGE / SMALL)
    return float(at_2m * (at_1b / at_2m) ** share)


def rate_factor(schedule: Schedule, done: int, total: int, *, warmup: int = 0) -> float:
    """Return the learning rate, as a fraction of its peak, for the step after ``done`` of ``total`` steps.
    The rate rises linearly from 0 during the warm-up, then stays at its peak (``constant``) or falls to 0."""
    if done < warmup:
        return (done + 1) / warmup
    left = 1.0 - (done - warmup) / max(total - warmup, 1)
    if schedule == "constant":
        return 1.0
    return left if schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))
