"""Learning rates: the peak for a model of a given size, and the schedule over a run."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from training.rlhf.recipes.parts.base import Schedule

SMALL, LARGE = 2e6, 1e9  # parameter counts of the demo policy and of a small real model
# An adapter's low-rank matrices learn best at about ten times the learning rate of the full weights. TRL also
# recommends this factor for reward models. On 700 rankings of the demo world, a reward model's held-out loss
# was measured after two epochs. With adapters trained at 1, 3 and 10 times the full weights' rate, the loss
# was 0.639, 0.631 and 0.611. When all weights were trained, the loss was 0.606.
ADAPTER_RATE_FACTOR = 10.0


def rate_for(model: nn.Module, *, at_2m: float, at_1b: float, adapter: bool = False) -> float:
    """Return the peak learning rate for the model, interpolated between two rates that are known to work.

    The log rate is linear in the log of the parameter count. A rate that trains a model with 2M parameters
    within a minute destroys a model with 1B parameters within ten steps. Therefore, no single rate is a sound
    default for both sizes. A model smaller than SMALL gets the rate for SMALL, and a model larger than LARGE
    gets the rate for LARGE. If an ``adapter`` of the model is trained, the rate is ADAPTER_RATE_FACTOR times
    as high. The matrices of adapters don't count as parameters.
    """
    weights: Any = sum(one.numel() for name, one in model.named_parameters() if ".lora_" not in name)
    share = math.log(min(max(weights, SMALL), LARGE) / SMALL) / math.log(LARGE / SMALL)
    return float(at_2m * (at_1b / at_2m) ** share) * (ADAPTER_RATE_FACTOR if adapter else 1.0)


def rate_factor(schedule: Schedule, done: int, total: int, *, warmup: int = 0) -> float:
    """Return the learning rate, as a fraction of its peak, for the step after ``done`` of ``total`` steps.
    The rate rises linearly during the warm-up, then stays at its peak (``constant``) or falls to 0."""
    if done < warmup:
        return (done + 1) / warmup
    left = 1.0 - (done - warmup) / max(total - warmup, 1)
    if schedule == "constant":
        return 1.0
    return left if schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))
