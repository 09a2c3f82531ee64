"""Fully sharded training with FSDP2: each process stores a part of every weight, gradient and moment.

Before a layer runs, its weights are gathered from all processes. The gathered weights are freed when the
layer has run, in the forward pass and again in the backward pass. Each gradient is summed over the processes,
and each process keeps its part of the sum. The sharded weights are float32. In a model that computes in
bfloat16, they take the place of the float32 masters of `core.masters`, and each process gathers them in
bfloat16.

- A forward pass of a sharded model must be executed with `run`. Its backward pass needs no special call.
- Gathering is an exchange, so all processes must run the same passes in the same order. `in_step` adds
  passes without an effect in the processes that have fewer micro-batches than others, and completes the
  exchanges of a process that runs out of memory.
- All processes must stop at the same point, because a process that stops saves a checkpoint, and saving needs
  all processes. Before each pass (`SharedReporter.check`), and at the end of each part of the loop that has
  no exchanges, such as the generation of answers (`stopping_together`), the processes agree on whether to
  stop.
- A weight is a `DTensor`. `local`, `whole` and `fill` read and write it. Optimisers can use it directly.

On a CPU, FSDP exchanges data through `core.distributed`, so a process that waits still calls `alive` and
notices that another process has ended. On a GPU, FSDP uses NCCL and gathers the next layer during the
computation of the current layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any, TypeVar, cast
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor

from training.rlhf.core import distributed
from training.rlhf.core.devices import default_device
from training.rlhf.core.memory import OutOfMemoryTogether, is_out_of_memory, reason_of, release
from training.rlhf.core.reporter import Cancelled, StopRequested
from training.rlhf.recipes.parts.base import Recipe

_apart = False
# The sharded models of this process.
_roots: WeakSet[nn.Module] = WeakSet()

Item = TypeVar("Item")
Output = TypeVar("Output")


def shards(recipe: Recipe) -> bool:
    """Return whether the run shards its model. A run with one process never shards its model."""
    return getattr(recipe, "sharding", "none") == "full" and distributed.count() > 1


def is_sharded(model: object) -> bool:
    return isinstance(model, FSDPModule)


def shard(
    model: nn.Module, layers: Sequence[nn.Module], *, dtype: torch.dtype, exact: Sequence[nn.Module] = ()
) -> None:
    """Shard the model's weights across all processes. Each layer is gathered separately, and the remaining
    weights are gathered together.

    Trained weights are converted to float32, and the model computes in ``dtype``, except for the modules in
    ``exact``, which compute in float32. Weights on the CPU are moved to the process's device, one layer at a
    time.
    """
    device = default_device().type
    mesh = init_device_mesh(device, (distributed.count(),))
    for module in (*exact, *layers, model):
        for parameter in module.parameters():
            if not isinstance(parameter, DTensor) and parameter.requires_grad:
                parameter.data = parameter.data.float()
        low = dtype if dtype != torch.float32 and module not in exact else None
        # The layers' inputs keep the precision that they have without sharding.
        precision = MixedPrecisionPolicy(
            param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        # The gathered weights outside the layers are freed after the forward pass, too. Otherwise, code could
        # replace these copies between two passes, without any effect on the sharded weights.
        one = fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=precision)
        # The losses are already divided by the entire batch's weight, so gradients are summed.
        one.set_gradient_divide_factor(1.0)
        one.set_force_sum_reduction_for_comms(True)
        # Experts that a process did not use contribute zero gradients. Otherwise, processes that use
        # different experts of a layer would exchange the gradients of different weights.
        one.set_reduce_scatter_unused_params(True, recurse=False)
        one.set_custom_all_gather(cast(Any, _Gather()))
        one.set_custom_reduce_scatter(cast(Any, _Scatter()))
    _roots.add(model)
    root: Any = model
    root.read = MethodType(_call, root)
    register_fsdp_forward_method(root, "read")


def run(model: object, forward: Callable[[], Output]) -> Output:
    """Return the result of ``forward()``, a forward pass of the model or of parts of the model. ``forward``
    must return a tensor or a tuple of tensors. ``forward`` must not call the model itself, but can call the
    layers and read the weights outside the layers."""
    if not is_sharded(model):
        return forward()
    found: Output = cast(Any, model).read(forward)
    return found


def in_step(
    model: object,
    parts: Iterable[Item],
    spare: Callable[[], Item],
    process: Callable[[Item, bool], None],
    *,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Call ``process(part, True)`` for each part. If the model is sharded, ``process(spare(), False)`` is
    called until every process has processed the same number of parts. ``process`` must ignore the results of
    the spare parts. ``check`` is called before each part, and ``process`` must not wait for other processes
    except by running models.

    If a process of a sharded model runs out of memory in a part, the others wait for its next exchange. The
    process therefore runs the spare part, and leaves out the exchanges that it has already made
    (`_Exchanges`). All processes then raise OutOfMemoryTogether, and their gradients are useless.
    """
    if not is_sharded(model):
        for part in parts:
            check()
            process(part, True)
        return
    mine = [(part, True) for part in parts]
    mine += [(spare(), False)] * (int(distributed.highest(len(mine))) - len(mine))
    for part, counts in mine:
        check()
        _exchanges.begin()
        reason = ""
        try:
            process(part, counts)
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            reason = reason_of(error)
        if reason:
            for root in _roots:
                _reset(root)
            release()
            _exchanges.repeat()
            process(spare(), False)
        if distributed.anywhere(bool(reason)):
            raise OutOfMemoryTogether(reason or "in another process")


def _reset(model: Any) -> None:
    """Free the weights that an interrupted pass has gathered, and reset the pass's state."""
    if model._get_fsdp_state()._is_root:  # None before the first pass
        model.reset_iter_state()


class _Exchanges:
    """Counts the exchanges of a part, so that a process can repeat the part without the exchanges that the
    other processes have already completed. The values of these exchanges are replaced by zeros, which is why
    the results of a repeated part are useless. All parts make the same exchanges in the same order."""

    def __init__(self) -> None:
        self.made = self.left_out = 0

    def begin(self) -> None:
        self.made = self.left_out = 0

    def repeat(self) -> None:
        self.made, self.left_out = 0, self.made

    def leaves_out_next(self) -> bool:
        self.made += 1
        return self.made <= self.left_out


_exchanges = _Exchanges()


@contextmanager
def stopping_together(*, sharded: bool) -> Iterator[None]:
    """If any process is asked to stop inside this block, all processes raise StopRequested at the end of the
    block. The block must not contain an exchange. Without sharding, the block has no effect."""
    global _apart
    if not sharded:
        yield
        return
    stopped: StopRequested | None = None
    before, _apart = _apart, True
    try:
        yield
    except StopRequested as error:
        stopped = error
    finally:
        _apart = before
    if distributed.anywhere(stopped is not None):
        raise stopped or Cancelled("another process of this run was asked to stop")


def is_apart() -> bool:
    """Return whether this process is in a block of `stopping_together`."""
    return _apart


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a sharded tensor. The part shares the tensor's memory. Any other tensor
    is returned unchanged."""
    if not isinstance(tensor, DTensor):
        return tensor
    part: Tensor = tensor.to_local()
    return part


def whole(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return the complete tensor, converted to ``dtype`` if it is given. If the tensor is sharded, all
    processes must call this function for the same tensor."""
    if not isinstance(tensor, DTensor):
        return tensor if dtype is None else tensor.to(dtype)
    part = local(tensor).detach().to(dtype or tensor.dtype)
    padded = part.new_zeros(_rows(tensor), *part.shape[1:])
    padded[: len(part)] = part
    found = part.new_empty(distributed.count() * len(padded), *part.shape[1:])
    distributed.all_gather(found, padded)
    return found[: tensor.shape[0]]


@torch.no_grad()
def fill(place: Tensor, values: Tensor) -> None:
    """Copy values into a tensor. If the tensor is sharded and the values are complete, each process copies
    its part."""
    if isinstance(place, DTensor) and not isinstance(values, DTensor):
        part = place.to_local()
        first = distributed.rank() * _rows(place)
        part.copy_(values[first : first + len(part)])
    else:
        local(place).copy_(local(values))


def divided(values: Tensor, like: Tensor) -> Tensor:
    """Return the values unchanged or, if ``like`` is sharded, sharded in the same way."""
    if not isinstance(like, DTensor):
        return values
    found = torch.zeros_like(like.detach(), dtype=values.dtype)
    fill(found, values)
    return found


@torch.no_grad()
def clip_gradients(parameters: Sequence[Tensor], largest: float) -> float:
    """Scale the gradients so that their norm is at most ``largest``. Return the norm before scaling."""
    if not any(isinstance(parameter, DTensor) for parameter in parameters):
        return float(nn.utils.clip_grad_norm_(parameters, largest))
    parts: list[Tensor] = []
    complete: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is not None:
            sharded = isinstance(parameter.grad, DTensor)
            (parts if sharded else complete).append(local(parameter.grad))
    squares = distributed.all_sum({"squares": _squares(parts)})["squares"] + _squares(complete)
    norm = math.sqrt(squares)
    factor = min(1.0, largest / (norm + 1e-6))  # the same formula as in torch
    for gradient in (*parts, *complete):
        gradient.mul_(factor)
    return norm


def _squares(gradients: Sequence[Tensor]) -> float:
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float32) for gradient in gradients]
    return float(torch.stack(norms).double().square().sum()) if norms else 0.0


def _rows(tensor: Tensor) -> int:
    """The maximum number of rows in a process's part. The last parts can have fewer rows."""
    return -(-tensor.shape[0] // distributed.count())


def _call(model: nn.Module, forward: Callable[[], Output]) -> Output:
    return forward()


class _Gather:
    """Gathers weights for FSDP: with NCCL, or on a CPU through `core.distributed`."""

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: Any, async_op: bool = False
    ) -> Any:
        if _exchanges.leaves_out_next():
            output_tensor.zero_()
            return None
        if output_tensor.device.type != "cpu":
            return dist.all_gather_single(output_tensor, input_tensor, group=group, async_op=async_op)
        distributed.all_gather(output_tensor, input_tensor)
        return None


class _Scatter:
    """Sums and scatters gradients for FSDP: with NCCL, or on a CPU through `core.distributed`."""

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self,
        output_tensor: Tensor,
        input_tensor: Tensor,
        group: Any,
        op: Any,
        async_op: bool = False,
    ) -> Any:
        if _exchanges.leaves_out_next():
            output_tensor.zero_()
            return None
        if output_tensor.device.type != "cpu":
            return dist.reduce_scatter_single(
                output=output_tensor, input=input_tensor, group=group, op=op, async_op=async_op
            )
        distributed.sum_and_scatter(output_tensor, input_tensor)
        return None
