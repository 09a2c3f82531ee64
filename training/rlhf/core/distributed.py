"""One loop in several processes: each computes a share of every batch, and all take the same step.

`torchrun --nproc-per-node N -m …` starts them; inside `joined()` these functions speak to the others, and
without a group each is the identity, so a loop is written once. No process waits for another but here, so all
must call them in the same order: what decides whether one is called (a stop, an early end, a loss that is not
finite) must be known to all, which is what `agreed` and `add_up` are for.

Gradients are added up here and not by DistributedDataParallel: that divides by the number of processes, where
our losses are over the weight of the whole batch already, and it wants every weight to have a gradient in
every process, where a process may have no ranking of a small batch.
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

BUCKET_NUMBERS = 16_000_000  # of gradients that travel at once: few messages, and 64 MB more memory
LONGEST_WAIT = timedelta(hours=1)  # for the one that writes a checkpoint, or scores by itself


@contextmanager
def joined() -> Iterator[None]:
    """The processes that torchrun started together, for as long as the block lasts; without torchrun, this
    one alone."""
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
    """Whether this process is the one that writes and reports."""
    return rank() == 0


def share(sizes: Sequence[float]) -> list[int]:
    """Indices of this process's share, rising: the shares are disjoint, all of them together everything, and
    about equal in size (the largest first, each to whoever has least)."""
    if count() == 1:
        return list(range(len(sizes)))
    loads, mine = [0.0] * count(), []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        to = min(range(count()), key=loads.__getitem__)
        loads[to] += sizes[index]
        if to == rank():
            mine.append(index)
    return sorted(mine)


def add_up(values: Mapping[str, float]) -> dict[str, float]:
    """Each number added over all processes, in float64. All must give the same names."""
    if count() == 1:
        return dict(values)
    names = sorted(values)
    numbers = torch.tensor([values[name] for name in names], dtype=torch.float64)
    dist.all_reduce(numbers)
    return dict(zip(names, numbers.tolist(), strict=True))


def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Each weight's gradient becomes the sum over all processes. One that has none anywhere keeps none: the
    optimiser must pass it by, as it would in one process."""
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
            _add_bucket(bucket)
            bucket = []
        bucket.append(parameter.grad)
    if bucket:
        _add_bucket(bucket)


def put_together(mine: Sequence[int], rows: Sequence[Tensor], widths: Sequence[int]) -> list[Tensor]:
    """All processes' rows of float32 CPU numbers, in the order of `widths`; `mine` says which are these."""
    if count() == 1 or not widths:
        return list(rows)
    everything = list(torch.split(torch.zeros(sum(widths)), list(widths)))
    for index, row in zip(mine, rows, strict=True):
        everything[index].copy_(row)
    flat = torch.cat(everything)
    dist.all_reduce(flat)  # each number is one process's and 0 elsewhere
    return list(torch.split(flat, list(widths)))


def agreed(number: int) -> int:
    """The first process's number, in all."""
    if count() == 1:
        return number
    told = torch.tensor(number, dtype=torch.int64)
    dist.broadcast(told, src=0)
    return int(told)


def wait() -> None:
    """Return when all have come here."""
    if count() > 1:
        agreed(0)


class Together:
    """A reporter for a loop in several processes: the first one's is heard, and when any process is to stop,
    all stop at the same step (one alone would leave the others waiting for its gradients)."""

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

    def check(self) -> None:
        mine: Exception | None = None
        try:
            self._report.check()
        except Exception as error:
            mine = error
        stopping = add_up({"stopping": float(mine is not None)})["stopping"]
        if mine is not None:
            raise mine
        if stopping:
            raise Cancelled("another process of this run was asked to stop")


def _add_bucket(gradients: Sequence[Tensor]) -> None:
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
