"""One training loop in several processes. Each process computes a share of every batch, and all processes
take the same step.

`torchrun --nproc-per-node N -m …` or the platform starts the processes. Inside `process_group()`, the
functions in this module exchange data between the processes. Without a group, the functions behave as in a
group of one process, so the same loop works with one process or several. Processes wait for one another only
in these functions. All processes must therefore call the functions in the same order. Some conditions decide
whether a function is called: a stop, an early end or a non-finite loss. All processes must therefore agree on
these conditions. `broadcast`, `all_sum` and `SharedReporter.check_together` can establish this agreement.

While a process waits for the others, it calls `alive`. A stop request therefore ends the wait within seconds.
If another process ends, the wait ends with ProcessLost.

Gradients are summed here rather than by DistributedDataParallel, for two reasons. First,
DistributedDataParallel divides gradients by the number of processes, but the losses here are already divided
by the whole batch's weight. Second, DistributedDataParallel requires a gradient for every weight in every
process. If the batch is small, a process can be left without any row and therefore without gradients.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor

from training.rlhf.core.alive import alive
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.reporter import Cancelled

# Maximum number of values summed in one all-reduce. A bucket of this size takes 64 MB. Larger buckets would
# need more memory but fewer messages.
BUCKET_NUMBERS = 16_000_000

LONGEST_WAIT = timedelta(hours=1)  # maximum wait while one process writes a checkpoint or computes scores
# A process that waits for the others checks repeatedly whether the exchange is complete. The pause between
# two checks starts at the shortest pause and doubles until it reaches the longest.
SHORTEST_PAUSE, LONGEST_PAUSE = 2e-5, 5e-3
_STOP, _PRESENT = "rankloop/stop", "rankloop/present"

Item = TypeVar("Item")
_store: Any = None


class ProcessLost(RuntimeError):
    """Raised in the remaining processes if another process of the group has ended."""


class Place(NamedTuple):
    """A process's place in a group on one machine. `meeting` is the path of a file that doesn't exist yet and
    that all processes of the group use to find one another."""

    meeting: str
    rank: int
    size: int


@contextmanager
def process_group(place: Place | None = None) -> Iterator[None]:
    """Join a process group for the duration of the block: the group of `place`, or the group of the processes
    that torchrun started. If there is neither group, do nothing.

    On a machine with GPUs, each process uses one of them. Raises UnusableInput if there are too few GPUs, and
    ProcessLost if another process ends before it has joined.
    """
    global _store
    if place is None and "RANK" not in os.environ:
        yield
        return
    if place is None:
        url, rank, size, local = "env://", -1, -1, int(os.environ.get("LOCAL_RANK", 0))
    else:
        url, rank, size, local = f"file://{place.meeting}", place.rank, place.size, place.rank
    backend = "gloo"
    if torch.cuda.is_available():
        require_devices(local + 1)
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    store, rank, size = next(iter(rendezvous(url, rank, size, timeout=LONGEST_WAIT)))
    _await_all(store, rank, size)
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT)
    except RuntimeError as error:  # another process has joined and failed before this one was connected to it
        raise ProcessLost(
            f"another process of this run ended while the processes joined ({error})"
        ) from error
    _store = store
    try:
        yield
    finally:
        _store = None
        dist.destroy_process_group()


def _await_all(store: Any, rank: int, size: int) -> None:
    """Wait until all processes can join. `init_process_group` would wait without calling `alive`, and would
    therefore not notice that another process has ended."""
    store.set(f"{_PRESENT}/{rank}", "1")
    others = [f"{_PRESENT}/{number}" for number in range(size)]
    pause, ends = SHORTEST_PAUSE, time.monotonic() + LONGEST_WAIT.total_seconds()
    while not store.check(others):
        alive()
        if time.monotonic() > ends:
            raise ProcessLost(f"not all of the {size} processes of this run joined within {LONGEST_WAIT}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def require_devices(processes: int) -> None:
    """On a machine with GPUs, raise UnusableInput if there are fewer GPUs than processes."""
    devices = torch.cuda.device_count() if torch.cuda.is_available() else processes
    if processes > devices:
        raise UnusableInput(
            f"{processes} processes need one GPU each, but this machine has {devices}. Set `processes` to at "
            f"most {devices}, or to 0 for one process per GPU"
        )


def ask_all_to_stop() -> None:
    """Make `stop_was_asked` true in all processes."""
    if _store is not None:
        _store.set(_STOP, "1")


def stop_was_asked() -> bool:
    """Return whether any process has called `ask_all_to_stop`."""
    try:
        return _store is not None and bool(_store.check([_STOP]))
    except RuntimeError:  # the process that hosts the store has ended
        return False


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Return whether this process is the one that writes files and sends reports."""
    return rank() == 0


def share(sizes: Sequence[float]) -> list[int]:
    """Return the sorted indices of this process's share of the items.

    The shares are disjoint, cover all items and are about equal in size. Items are assigned in descending
    order of size, each to the least loaded process.
    """
    if count() == 1:
        return list(range(len(sizes)))
    loads, mine = [0.0] * count(), []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        to = min(range(count()), key=loads.__getitem__)
        loads[to] += sizes[index]
        if to == rank():
            mine.append(index)
    return sorted(mine)


def stretch(sizes: Sequence[float]) -> list[int]:
    """Like `share`, but the indices are consecutive: neighbours stay together, except where two shares meet.

    An item belongs to the process whose part of the total size contains the item's midpoint.
    """
    total, before, mine = sum(sizes), 0.0, []
    for index, size in enumerate(sizes):
        if min(int(count() * (before + size / 2) / total), count() - 1) == rank():
            mine.append(index)
        before += size
    return mine


def all_sum(values: Mapping[str, float]) -> dict[str, float]:
    """Sum each number over all processes, in float64. All processes must pass the same names."""
    if count() == 1:
        return dict(values)
    names = sorted(values)
    numbers = torch.tensor([values[name] for name in names], dtype=torch.float64)
    _all_reduce(numbers)
    return dict(zip(names, numbers.tolist(), strict=True))


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient with its sum over all processes.

    If a weight has no gradient in any process, the weight still has no gradient afterwards. The optimiser
    then skips the weight, as in a single process. The gradients of a sharded weight are already sums.
    """
    if count() == 1:
        return
    given = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    if not given:
        return
    has = torch.tensor([parameter.grad is not None for parameter in given], dtype=torch.uint8)
    _all_reduce(has, op=dist.ReduceOp.MAX)
    bucket: list[Tensor] = []
    for parameter, someone in zip(given, has.tolist(), strict=True):
        if not someone:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if bucket and (
            sum(g.numel() for g in bucket) + parameter.numel() > BUCKET_NUMBERS
            or (bucket[0].dtype, bucket[0].device) != (parameter.grad.dtype, parameter.grad.device)
        ):
            _sum_bucket(bucket)
            bucket = []
        bucket.append(parameter.grad)
    if bucket:
        _sum_bucket(bucket)


def gather_objects(mine: Item) -> list[Item]:
    """Return the objects of all processes, ordered by the processes' ranks. Objects are pickled."""
    if count() == 1:
        return [mine]
    data = torch.frombuffer(bytearray(pickle.dumps(mine)), dtype=torch.uint8)
    sizes = torch.zeros(count(), dtype=torch.int64)
    sizes[rank()] = len(data)
    _all_reduce(sizes)
    parts = list(torch.split(torch.zeros(int(sizes.sum()), dtype=torch.uint8), sizes.tolist()))
    parts[rank()].copy_(data)
    flat = torch.cat(parts)
    _all_reduce(flat)  # at most one process has a non-zero number at each position
    return [pickle.loads(part.numpy().tobytes()) for part in torch.split(flat, sizes.tolist())]


def add_up(values: Mapping[str, float]) -> defaultdict[str, float]:
    """Like `all_sum`, but the processes can pass different names."""
    sums: defaultdict[str, float] = defaultdict(float)
    for one in gather_objects(dict(values)):
        for name, value in one.items():
            sums[name] += value
    return sums


def highest(number: float) -> float:
    return max(gather_objects(number))


def anywhere(condition: bool) -> bool:
    """Return whether the condition is true in any process."""
    return all_sum({"true": float(condition)})["true"] > 0


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate this process's one-dimensional tensors, then the results of all processes, ordered by the
    processes' ranks. With several processes, the result is on the CPU."""
    if count() == 1:
        return torch.cat(list(parts))
    mine = torch.cat([part.detach().cpu() for part in parts]) if parts else torch.zeros(0)
    return torch.cat(gather_objects(mine))


def sum_tensors(*tensors: Tensor) -> None:
    """Replace each tensor with its sum over all processes. The tensors must be on the CPU."""
    if count() > 1:
        for tensor in tensors:
            _all_reduce(tensor)


def gather_rows(mine: Sequence[int], rows: Sequence[Tensor], widths: Sequence[int]) -> list[Tensor]:
    """Gather the rows of all processes (float32, on the CPU). `widths` contains the lengths of all rows, and
    `mine` contains the positions of this process's `rows` in `widths`."""
    if count() == 1 or not widths:
        return list(rows)
    everything = list(torch.split(torch.zeros(sum(widths)), list(widths)))
    for index, row in zip(mine, rows, strict=True):
        everything[index].copy_(row)
    flat = torch.cat(everything)
    _all_reduce(flat)  # at most one process has a non-zero number at each position
    return list(torch.split(flat, list(widths)))


def all_gather(found: Tensor, mine: Tensor) -> None:
    """Fill `found` with the tensors of all processes, ordered by the processes' ranks. The tensors must have
    the same shape."""
    # gloo can't exchange tensors of every type, so they are exchanged as bytes.
    into, part = found.view(-1).view(torch.uint8), mine.reshape(-1).view(torch.uint8)
    _exchange(lambda: dist.all_gather_single(into, part, async_op=True))


def sum_and_scatter(mine: Tensor, given: Tensor) -> None:
    """Fill `mine` with this process's part of the sum of all processes' tensors. `given` consists of one part
    per process, and is overwritten."""
    # An all-reduce is used, because gloo never reports that a reduce-scatter is complete.
    _all_reduce(given)
    mine.copy_(given.view(count(), -1)[rank()].view_as(mine))


def broadcast(number: int) -> int:
    """Return, in every process, the number that the first process passed."""
    if count() == 1:
        return number
    shared = torch.tensor(number, dtype=torch.int64)
    _exchange(lambda: dist.broadcast(shared, src=0, async_op=True))
    return int(shared)


def wait() -> None:
    """Block until all processes have reached this call."""
    if count() > 1:
        broadcast(0)


def _sum_bucket(gradients: Sequence[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    _all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def _all_reduce(tensor: Tensor, op: Any = dist.ReduceOp.SUM) -> None:
    _exchange(lambda: dist.all_reduce(tensor, op=op, async_op=True))


def _exchange(start: Callable[[], Any]) -> None:
    """Start an exchange and wait until it is complete. Raises ProcessLost if another process has ended, and
    Cancelled if another process was asked to stop. Exceptions raised by the `alive` listener propagate."""
    try:
        work = start()
    except RuntimeError as error:
        raise _reason(error) from error
    pause = SHORTEST_PAUSE
    while not work.is_completed():
        alive()
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    try:
        work.wait()
    except RuntimeError as error:
        raise _reason(error) from error


def _reason(error: Exception) -> Exception:
    if stop_was_asked():
        return Cancelled("another process of this run was asked to stop")
    return ProcessLost(f"another process of this run has ended ({error})")
