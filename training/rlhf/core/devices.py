"""The kind of device that a run computes on: `cuda` or `cpu`. A resumed run keeps its kind of device."""

from __future__ import annotations

import socket
from collections.abc import Iterable

import torch
from torch import Tensor

from training.rlhf.core.failures import FailureKind, RunFailure

NAMES = {"cuda": "a GPU", "cpu": "a CPU"}


class DeviceDiffers(RunFailure):
    """Raised if a run would continue on a different kind of device from the one it started on."""

    kind = FailureKind.DEVICE_DIFFERS


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(tensors: Iterable[Tensor]) -> str:
    """Return the kind of device that holds the tensors, or `cpu` if there are no tensors."""
    return next((tensor.device.type for tensor in tensors), "cpu")


def refuse_other_device(before: str, now: str, *, allowed: bool) -> None:
    """Raise DeviceDiffers unless `before` and `now` are the same kind of device, `before` is empty, or
    `allowed` is true."""
    if allowed or before in {"", now}:
        return
    raise DeviceDiffers(
        f"The run started on {_name(before)}, but would continue on {_name(now)} on {socket.gethostname()}."
        + (f" {_reason()}" if before == "cuda" else "")
    )


def _name(device: str) -> str:
    return NAMES.get(device, device)


def _reason() -> str:
    """Return the reason why PyTorch doesn't use a GPU."""
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        return f"PyTorch can't use a GPU: {str(error).strip() or type(error).__name__}"
    return "PyTorch can use a GPU on this machine, but the models were not loaded onto the GPU."
