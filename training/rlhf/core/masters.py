"""Optimisers that train 16-bit weights in float32.

A step of Adam changes a weight by about the learning rate. bfloat16 has 8 bits of precision, so a weight of 1
can't change by less than 0.004: most steps would have no effect. The optimiser therefore trains a float32
copy of each 16-bit weight, its master (Micikevicius et al. 2017, arXiv 1710.03740), and after every step, the
model's weights are set to the rounded masters. Gradients are also accumulated in float32.

Float32 weights are their own masters, so loops need no separate code path for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from training.rlhf.core.sharding import clip_gradients

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def optimiser_over(module: nn.Module, make: Callable[[list[nn.Parameter]], Kind]) -> Kind:
    """Return an optimiser of the module's trainable parameters. ``make`` receives the float32 parameters."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    masters = [master_of(parameter) for parameter in trained]
    optimiser = make(masters)
    pairs = [(low, high) for low, high in zip(trained, masters, strict=True) if low is not high]
    if pairs:
        optimiser.register_step_post_hook(partial(_write_back, pairs))
    return optimiser


def optimised(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters that the optimiser updates. Gradients must be clipped on these parameters,
    because the gradients of 16-bit weights are moved to the masters."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def clipped_norm(optimiser: torch.optim.Optimizer, limit: float) -> float:
    """Clip the gradients of the optimiser's weights to a norm of at most ``limit``. Return the norm before
    clipping."""
    return clip_gradients(optimised(optimiser), limit)


def update_weights(optimiser: torch.optim.Optimizer, *, rate: float) -> None:
    """Take an optimiser step at this learning rate, then clear the gradients."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def master_of(parameter: nn.Parameter) -> nn.Parameter:
    """Return the float32 parameter that is trained instead of this one. A parameter keeps its master, so a
    second optimiser continues with the same float32 values. If the parameter has changed since the last step,
    for example because earlier weights were restored, the master is set to the parameter's current value."""
    if parameter.dtype == torch.float32:
        _forget_master(parameter)
        return parameter
    known: nn.Parameter | None = getattr(parameter, "master", None)
    if known is None:
        known = nn.Parameter(parameter.detach().float())
        hook: Any = partial(_hand_over, known)
        parameter.master = known  # type: ignore[attr-defined]
        parameter.master_hook = parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[attr-defined,no-untyped-call]
    elif not _is_rounded(known, parameter):
        known.data = parameter.detach().float()
    return known


def _is_rounded(master: Tensor, parameter: Tensor) -> bool:
    """Return whether the parameter equals the master rounded to the parameter's precision."""
    return master.device == parameter.device and torch.equal(master.to(parameter.dtype), parameter)


def _forget_master(parameter: Any) -> None:
    """Remove the master that a parameter had as a 16-bit weight. Otherwise, the hook would move every
    gradient of the parameter to this master."""
    if hasattr(parameter, "master"):
        parameter.master_hook.remove()
        del parameter.master, parameter.master_hook


def _hand_over(master: nn.Parameter, parameter: Tensor) -> None:
    """Move the gradient to the master."""
    low, parameter.grad = parameter.grad, None  # cleared even if the next line runs out of memory
    assert low is not None
    gradient = low.float()
    master.grad = gradient if master.grad is None else master.grad.add_(gradient)


@torch.no_grad()
def _write_back(pairs: list[tuple[nn.Parameter, nn.Parameter]], *_: Any) -> None:
    for low, high in pairs:
        low.copy_(high)
