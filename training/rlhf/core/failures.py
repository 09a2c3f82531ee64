"""The kinds of run failure. Each of the library's exceptions carries its failure kind."""

from __future__ import annotations

import re
from enum import StrEnum


class FailureKind(StrEnum):
    """The reason why a run ended without a result. The values are stable: the API sends them and the database
    stores them."""

    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    DIVERGED = "diverged"
    MODEL_GONE = "model_gone"
    ADAPTER_BASE_GONE = "adapter_base_gone"
    BASE_MODEL_MISSING = "base_model_missing"
    HUB_UNREACHABLE = "hub_unreachable"
    HUB_UNKNOWN_NAME = "hub_unknown_name"
    WRONG_KIND_OF_MODEL = "wrong_kind_of_model"
    MODEL_UNREADABLE = "model_unreadable"
    ADAPTER_DOES_NOT_FIT = "adapter_does_not_fit"
    TOKENIZER_DOES_NOT_FIT = "tokenizer_does_not_fit"
    TEXTS_TOO_LONG = "texts_too_long"
    NOTHING_KEPT = "nothing_kept"
    GOLD_CANNOT_JUDGE = "gold_cannot_judge"
    DATA_EMPTY = "data_empty"
    DATA_UNREADABLE = "data_unreadable"
    INPUT_CHANGED = "input_changed"
    VOCABULARIES_DIFFER = "vocabularies_differ"
    TEMPLATES_DIFFER = "templates_differ"
    GENERATION_SERVER = "generation_server"
    DEVICE_LOST = "device_lost"
    DEVICE_DIFFERS = "device_differs"
    REWARD_IS_FLAT = "reward_is_flat"
    REWARD_NOT_FINITE = "reward_not_finite"
    INPUTS_REFUSED = "inputs_refused"
    WORKER_LOST = "worker_lost"
    KILLED = "killed"
    NOT_STARTED = "not_started"
    CRASHED = "crashed"
    HUNG = "hung"
    TIME_LIMIT = "time_limit"
    DATABASE_LOST = "database_lost"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class RunFailure(Exception):
    """An error that carries its failure kind."""

    kind = FailureKind.UNKNOWN

    def __init__(self, message: str, kind: FailureKind | None = None) -> None:
        super().__init__(message)
        if kind is not None:
            self.kind = kind


class UnusableInput(RunFailure, ValueError):
    """Raised if the data, the models or the settings cannot be used for this run."""

    kind = FailureKind.INPUTS_REFUSED


# CUDA's error codes (cudaError_t) after which a process can't use its GPU any more, and their messages. A new
# process can use the GPU again if the GPU still works. Errors that a bug causes, such as an illegal memory
# access (700) or a device-side assertion (710), are left out, because they usually recur in a new process.
DEVICE_ERRORS = {
    3: "initialization error",
    46: "CUDA-capable device(s) is/are busy or unavailable",
    100: "no CUDA-capable device is detected",
    101: "invalid device ordinal",
    214: "uncorrectable ECC error encountered",
    220: "uncorrectable NVLink error detected during the execution",
    702: "the launch timed out and was terminated",
    714: "hardware stack error",
    719: "unspecified launch failure",
    721: "Invalid access of peer GPU memory over nvlink or a hardware error",
    802: "system not yet initialized",
    803: "system has unsupported display driver / cuda driver combination",
    999: "unknown error",
}
# The messages of the same errors in cases without an error code: when PyTorch initialises CUDA (the last five
# alternatives), in NCCL, and in errors that were passed on as text.
DEVICE_MESSAGES = re.compile(
    r"(?:CUDA error: |Cuda failure (?:\d+ )?')"
    rf"(?:{'|'.join(map(re.escape, DEVICE_ERRORS.values()))})"
    r"|Unexpected error from cudaGetDeviceCount|CUDA driver initialization failed|CUDA unknown error"
    r"|No CUDA GPUs are available|Found no NVIDIA driver"
)


def is_device_error(error: BaseException) -> bool:
    """Return whether the exception means that this process can't use its GPU any more.

    PyTorch's AcceleratorError contains CUDA's error code. Other RuntimeErrors are recognised by their
    messages. This module doesn't import torch, because the supervisor of runs imports this module.
    """
    if not isinstance(error, RuntimeError):
        return False
    code = getattr(error, "error_code", None)
    return code in DEVICE_ERRORS if code is not None else DEVICE_MESSAGES.search(str(error)) is not None
