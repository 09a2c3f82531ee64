"""One training loop in several processes. Each process computes a share of every batch, and all processes
take the same step.

`torchrun --nproc-per-node N -m …` starts the processes. Inside `process_group()`, the functions in this
module exchange data between the processes. Without a group, each function returns its argument unchanged, so
the same loop works with one process or several. Processes wait for one another only in these functions. All
processes must therefore call the functions in the same order. Some conditions decide whether a function is
called: a stop, an early end or a non-finite loss. All processes must therefore agree on these conditions.
`broadcast` and `all_sum` can establish this agreement.

Gradients are summed here rather than by DistributedDataParallel, for two reasons. First,
DistributedDataParallel divides gradients by the number of processes. The losses here are already divided by
the whole batch's weight. Second, DistributedDataParallel requires a gradient for every weight in every
process. If the batch is small, a process can be left without any ranking and therefore without gradients.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, Reporter

# Maximum number of values summed in one all-reduce. A larger bucket needs more memory (64 MB here) but fewer
# messages.
BUCKET_NUMBERS = 16_000_000

LONGEST_WAIT = timedelta(hours=1)  # maximum wait while one process writes a checkpoint or computes scores


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of the processes that torchrun started, for the duration of the block. Without
    torchrun, do nothing."""
    if "RANK" not in os.environ:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        dist.destroy_process_group()


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


def all_sum(values: Mapping[str, float]) -> dict[str, float]:
    """Sum each number over all processes, in float64. All processes must pass the same names."""
    if count() == 1:
        return dict(values)
    names = sorted(values)
    numbers = torch.tensor([values[name] for name in names], dtype=torch.float64)
    dist.all_reduce(numbers)
    return dict(zip(names, numbers.tolist(), strict=True))


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient with its sum over all processes.

    If a weight has no gradient in any process, the weight still has no gradient afterwards. The optimiser
    then skips the weight, as in a single process.
    """
    if count() == 1:
        return
    given = list(parameters)
    if not given:
        return
    has = torch.tensor([parameter.grad is not None for parameter in given], dtype=torch.uint8)
    dist.all_reduce(has, op=dist.ReduceOp.MAX)
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


def gather_rows(mine: Sequence[int], rows: Sequence[Tensor], widths: Sequence[int]) -> list[Tensor]:
    """Gather the rows of all processes (float32, on the CPU). `widths` contains the lengths of all rows, and
    `mine` contains the positions of this process's `rows` in `widths`."""
    if count() == 1 or not widths:
        return list(rows)
    everything = list(torch.split(torch.zeros(sum(widths)), list(widths)))
    for index, row in zip(mine, rows, strict=True):
        everything[index].copy_(row)
    flat = torch.cat(everything)
    dist.all_reduce(flat)  # at most one process has a non-zero number at each position
    return list(torch.split(flat, list(widths)))


def broadcast(number: int) -> int:
    """Return, in every process, the number that the first process passed."""
    if count() == 1:
        return number
    shared = torch.tensor(number, dtype=torch.int64)
    dist.broadcast(shared, src=0)
    return int(shared)


def wait() -> None:
    """Block until all processes have reached this call."""
    if count() > 1:
        broadcast(0)


class SharedReporter:
    """A reporter for a loop in several processes. Only the first process reports.

    If any process is asked to stop, all processes stop at the same step. Otherwise, the remaining processes
    would wait for the stopped process's gradients.
    """

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        if is_first():
            self._report.metrics(step, values)

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        if is_first():
            self._report.sample(step, messages=messages, before=before, after=after, scores=scores)

    def progress(self, phase: str, step: int, total: int) -> None:
        if is_first():
            self._report.progress(phase, step, total)

    def flush(self) -> None:
        if is_first():
            self._report.flush()

    def checkpoint(self, step: int) -> None:
        if is_first():
            self._report.checkpoint(step)

    def check(self) -> None:
        mine: Exception | None = None
        try:
            self._report.check()
        except Exception as error:
            mine = error
        stopping = all_sum({"stopping": float(mine is not None)})["stopping"]
        if mine is not None:
            raise mine
        if stopping:
            raise Cancelled("another process of this run was asked to stop")

    def check_within_step(self) -> None:
        """Like `check`, but for a loop that each process repeats a different number of times. Several
        processes must stop at the same point, so with several processes, this method does nothing."""
        if count() == 1:
            self._report.check()


def _sum_bucket(gradients: Sequence[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
