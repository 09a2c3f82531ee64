"""Recognise out-of-memory errors, release unused memory, and continue with smaller micro-batches."""

from __future__ import annotations

import errno
import gc
import logging
import re
from collections.abc import Callable, Collection
from typing import TypeVar

import torch

from training.rlhf.core import distributed

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# PyTorch raises other RuntimeErrors if it can't allocate memory on a CPU, if an allocation outside its own
# allocator fails on a GPU, and if NVML can't tell how much memory a GPU has after a failed allocation
# (https://github.com/pytorch/pytorch/issues/112377).
MESSAGES = re.compile(
    r"DefaultCPUAllocator|can(?:'t|not) allocate memory|not enough memory|CUDA error: out of memory"
    r"|NVML_SUCCESS ==",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that memory could not be allocated."""
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
    add_gradients: Callable[[], Result],
    *,
    divisible: Callable[[], bool],
    divide: Callable[[], int],
    optimisers: Collection[torch.optim.Optimizer],
    step: int,
) -> Result:
    """Call ``add_gradients`` and return its result.

    If the device runs out of memory, the gradients are discarded, ``divide`` makes the micro-batches smaller,
    and the gradients are computed again. ``divide`` returns the new limit of token positions. If
    ``divisible`` returns False, the error is raised.

    If one of several processes runs out of memory, all processes compute their gradients again with the new
    limit, so that their limits stay equal. ``add_gradients`` must not wait for other processes.
    """
    while True:
        reason = ""
        try:
            result = add_gradients()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not divisible():
                raise
            reason = reason_of(error)
        if not distributed.anywhere(bool(reason)):
            return result
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        release()
        limit = divide()
        if distributed.is_first():
            logger.warning(
                "Out of memory in step %d (%s). The step continues with micro-batches of at most %d tokens.",
                step,
                reason or "in another process",
                limit,
            )
