"""Matrix products of linear layers, computed with oneDNN on a CPU in fp32.

torch multiplies fp32 matrices with MKL, which is about half as fast as oneDNN on recent AMD processors. With
2,048 rows on an AMD EPYC, MKL reached 65 to 100 GFLOP/s per thread, and oneDNN reached 100 to 220. The
figures for oneDNN include rearranging the weights in every call.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# oneDNN, and ideep between it and torch, keep the code that they generate for each shape. Micro-batches have
# many different lengths. With the default limit of 1,024 shapes, a process grew by 1.4 GB during
# micro-batches of 1,000 different lengths. With a limit of 64 shapes, the process grew by 0.15 GB and was not
# slower. Both libraries read the limit when they are first used.
KEPT_SHAPES = "64"


def limit_kernels() -> None:
    """Limit the number of shapes for which compiled code is kept, unless the environment sets other limits.
    After the first matrix product of a process, a call of this function has no effect. A forked run replaces
    its environment after the import of this module, so `use_onednn` sets the limits again. Without the
    limits, the demo's first run used 1.7 GB of memory."""
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, KEPT_SHAPES)


limit_kernels()

# Smaller products take longer with oneDNN than with MKL, because oneDNN rearranges the weights, and because
# the calls in Python take about 40 µs for a forward and a backward pass.
SMALLEST_ROWS, SMALLEST_PRODUCT = 128, 2**21


def is_linear(module: nn.Module) -> bool:
    """Return whether the module is exactly a linear layer, and not a subclass with a different forward
    pass."""
    return type(module) in (nn.Linear, Linear)


class Linear(nn.Linear):
    """A linear layer that uses oneDNN to multiply large fp32 matrices on a CPU.

    Only the shapes decide whether oneDNN is used. The output is therefore the same with and without
    gradients, bit for bit.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not takes_onednn(input, self.weight):
            return super().forward(input)
        if torch.is_grad_enabled():
            return _Product.apply(input, self.weight, self.bias)  # type: ignore[no-any-return,no-untyped-call]
        return multiply(input, self.weight, self.bias)


def use_onednn(model: nn.Module) -> None:
    """Turn the model's linear layers into `Linear`. The change affects only this process and is not saved
    with the model.

    Training, scoring and generation all call this function. If only training called it, the answers before
    the first training pass of a process would be computed differently, and a resumed run could differ from an
    uninterrupted one.
    """
    limit_kernels()
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear


def available() -> bool:
    """Return whether this build of torch contains oneDNN and the operator that `torch.compile` uses."""
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def takes_onednn(rows: Tensor, weight: Tensor) -> bool:
    """Return whether oneDNN multiplies these rows, of shape (…, in), by a weight of shape (out, in)."""
    count = rows.numel() // max(1, rows.shape[-1])
    return (
        available()
        and rows.device.type == weight.device.type == "cpu"
        and rows.dtype == weight.dtype == torch.float32
        and count >= SMALLEST_ROWS
        and count * weight.numel() >= SMALLEST_PRODUCT
        and not torch.is_autocast_enabled("cpu")
    )


def multiply(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return rows · weightᵀ + bias, without gradients. The shapes are those of `nn.functional.linear`, and
    all strides are supported."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return multiply(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_rows = to_weight = to_bias = None
        flat, before = given.flatten(0, -2), rows.flatten(0, -2)
        if ctx.needs_input_grad[0]:
            to_rows = multiply(flat, weight.t()).view(rows.shape)
        if ctx.needs_input_grad[1]:
            to_weight = multiply(flat.t(), before.t())
        if ctx.needs_input_grad[2]:
            to_bias = flat.sum(0)
        return to_rows, to_weight, to_bias
