"""Recognise out-of-memory errors, and release unused memory."""

from __future__ import annotations

import gc
import re

import torch

# PyTorch raises a plain RuntimeError if it can't allocate memory on a CPU.
OF_THE_CPU = re.compile(r"DefaultCPUAllocator|can(?:'t|not) allocate memory|not enough memory", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error says that memory could not be allocated."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and OF_THE_CPU.search(str(error)) is not None


def reason_of(error: BaseException) -> str:
    """Return the first line of the error's message. Unlike the text, the error itself would keep tensors in
    memory."""
    return (str(error) or type(error).__name__).splitlines()[0]


def release() -> None:
    """Return unused memory to the device, so that smaller allocations don't fail because of fragmentation."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
