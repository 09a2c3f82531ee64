"""Recognise out-of-memory errors, release unused memory, and continue with smaller passes.

If a device runs out of memory, the pass is divided, the work is repeated with the smaller passes, and the run
logs a warning. There are two cases:

- `until_it_fits` is for work that all processes of a run do together: updates, evaluations during training,
  and the passes of a policy and its reference over a rollout. All processes lower their limit of token
  positions and repeat the work, so that their limits stay equal. The limit is a part of the run's state.
- `within_memory` is for independent passes of complete, frozen models, such as scoring. Here, each process
  divides its own passes and doesn't wait for other processes, which may have nothing to score.

Neither case changes a result except by rounding: gradients and sums are discarded before they are computed
again, and each row counts once.
"""

from __future__ import annotations

import errno
import gc
import logging
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

import torch

from training.rlhf.core import distributed
from training.rlhf.core.alive import count_again, counted_parts

Result = TypeVar("Result")
Part = TypeVar("Part")
Item = TypeVar("Item")

logger = logging.getLogger(__name__)

# PyTorch raises RuntimeErrors other than OutOfMemoryError if it can't allocate memory on a CPU, if an
# allocation outside its own allocator fails on a GPU, and if NVML can't report a GPU's memory after a failed
# allocation (https://github.com/pytorch/pytorch/issues/112377).
MESSAGES = re.compile(
    r"DefaultCPUAllocator|can(?:'t|not) allocate memory|not enough memory|CUDA error: out of memory"
    r"|NVML_SUCCESS ==",
    re.IGNORECASE,
)

# For each frozen model that has caused an out-of-memory error: the maximum number of token positions in a
# later pass.
_limits: WeakKeyDictionary[object, int] = WeakKeyDictionary()


class OutOfMemoryTogether(torch.OutOfMemoryError):
    """Raised in all processes of a sharded model, at the same point, if one of them runs out of memory."""


class HasLimit(Protocol):
    """The state of a run. `micro_batch_tokens` is the recipe's limit of token positions in a pass, or less if
    the device ran out of memory."""

    micro_batch_tokens: int


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error means that memory could not be allocated."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and MESSAGES.search(str(error)) is not None


def reason_of(error: BaseException) -> str:
    """Return the first line of the error's message. Unlike this string, the error itself would keep tensors
    in memory."""
    return (str(error) or type(error).__name__).splitlines()[0]


def release() -> None:
    """Return unused memory to the device, so that smaller allocations don't fail because of fragmentation."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def until_it_fits(
    work: Callable[[], Result],
    state: HasLimit,
    *,
    largest: Callable[[], int],
    divide: Callable[[], None] = lambda: None,
    optimisers: Collection[torch.optim.Optimizer] = (),
    what: str,
) -> Result:
    """Call ``work`` and return its result.

    If the device runs out of memory, the gradients are discarded, the limit in ``state`` is halved
    (`lowered`), and ``work`` is called again. ``largest`` returns the number of token positions in this
    process's largest pass that can be divided, or 0 if there is none. If ``largest`` returns 0, the error is
    raised. ``divide`` is called after the limit has been lowered. ``what`` names the work in the log.

    If one of several processes runs out of memory, all processes repeat the work with the new limit. All of
    them must therefore call this function, and ``work`` must not wait for other processes, except in
    `sharding.in_step`.
    """
    before = counted_parts()
    while True:
        reason = ""
        try:
            result = work()
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error):
                raise
            found = largest()
            if not (distributed.highest(found) if isinstance(error, OutOfMemoryTogether) else found):
                raise
            reason = reason_of(error)
        if not distributed.anywhere(bool(reason)):
            return result
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        release()
        count_again(before)
        state.micro_batch_tokens = lowered(state.micro_batch_tokens, int(distributed.highest(largest())))
        divide()
        if distributed.is_first():
            logger.warning(
                "Out of memory in %s (%s). The run continues with at most %d tokens in a pass.",
                what,
                reason or "in another process",
                state.micro_batch_tokens,
            )


def lowered(limit: int, largest: int) -> int:
    """Return the next lower limit of token positions: half of the largest pass that can be divided. A pass
    that can't be divided can exceed the limit, so its size does not determine the next limit."""
    return max(1, min(limit - 1, largest // 2))


def lowered_metric(state: HasLimit, recipe: int) -> dict[str, float]:
    """Return the metric `micro_batch_tokens` if the limit is lower than the recipe's."""
    if state.micro_batch_tokens >= recipe:
        return {}
    return {"micro_batch_tokens": float(state.micro_batch_tokens)}


def within_memory(
    model: object,
    parts: Iterable[Part],
    work: Callable[[Part], Result],
    *,
    size: Callable[[Part], int],
    halves: Callable[[Part], Sequence[Part]],
    what: str,
) -> Iterator[tuple[Part, Result]]:
    """Yield each part with the result of ``work``, which passes the part through ``model`` without gradients.

    If the device runs out of memory, the part is replaced with its ``halves``. From then on, every part with
    more than half of this part's token positions (``size``) is also replaced with its halves. Later calls
    with this model apply the same limit. If the part can't be divided, ``halves`` returns the part itself,
    and the error is raised.
    """
    waiting = deque(parts)
    while waiting:
        part = waiting.popleft()
        smaller = halves(part)
        if len(smaller) > 1 and size(part) > frozen_limit(model):
            waiting.extendleft(reversed(smaller))
            continue
        try:
            result = work(part)
        except (RuntimeError, MemoryError, OSError) as error:
            if not is_out_of_memory(error) or len(smaller) < 2:
                raise
            reason = reason_of(error)
        else:
            yield part, result
            continue
        release()
        _limits[model] = lowered(size(part), size(part))
        logger.warning(
            "Out of memory in %s (%s). The run continues with at most %d tokens in a pass.",
            what,
            reason,
            _limits[model],
        )
        waiting.extendleft(reversed(smaller))


def frozen_limit(model: object) -> float:
    """Return the limit of token positions that `within_memory` has set for this model, or infinity."""
    return _limits.get(model, float("inf"))


def halves_of(items: list[Item]) -> list[list[Item]]:
    """Return the first and the second half of the items. A single item is not divided."""
    middle = len(items) // 2
    return [items[:middle], items[middle:]] if middle else [items]
