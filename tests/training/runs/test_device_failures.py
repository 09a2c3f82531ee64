"""Errors after which a process can't use its GPU any more are recognised: by CUDA's error code if PyTorch's
exception has one, and otherwise by the message of PyTorch or NCCL."""

from __future__ import annotations

import pytest
import torch

from training.rlhf.core.failures import DEVICE_ERRORS, FailureKind
from training.runs.failures import kind_of, record_of

# What PyTorch 2.13 appends to the message of each CUDA error.
SUFFIX = """
Search for `{name}' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more information.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""  # noqa: E501
LAUNCH_FAILURE = "CUDA error: unspecified launch failure" + SUFFIX.format(name="cudaErrorLaunchFailure")
BUSY = "CUDA error: CUDA-capable device(s) is/are busy or unavailable" + SUFFIX.format(
    name="cudaErrorDevicesUnavailable"
)
COUNT = (
    "Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling "
    "NumCudaDevices() that might have already set an error? Error {}"
)
NCCL = (
    "NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.hpp:275, unhandled cuda error (run with "
    "NCCL_DEBUG=INFO for details), NCCL version 2.20.5\nncclUnhandledCudaError: Call to CUDA function failed."
    "\nLast error:\nCuda failure {}"
)


def accelerator_error(code: int, message: str) -> RuntimeError:
    """An error as PyTorch raises it (torch/csrc/Exceptions.cpp)."""
    error = torch.AcceleratorError(message)
    error.error_code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        accelerator_error(719, LAUNCH_FAILURE),
        accelerator_error(46, BUSY),
        accelerator_error(100, "CUDA error: no CUDA-capable device is detected"),
        # The error code is decisive, because messages differ between versions of CUDA.
        accelerator_error(46, "CUDA error: all CUDA-capable devices are busy or unavailable"),
        accelerator_error(999, "CUDA error: unknown error"),
        RuntimeError(LAUNCH_FAILURE),
        RuntimeError(BUSY),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError(
            "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a "
            "driver from http://www.nvidia.com/Download/index.aspx"
        ),
        RuntimeError(
            "CUDA unknown error - this may be due to an incorrectly set up environment, e.g. changing env "
            "variable CUDA_VISIBLE_DEVICES after program start. Setting the available devices to be zero."
        ),
        RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
        RuntimeError(COUNT.format("802: system not yet initialized")),
        RuntimeError(COUNT.format("803: system has unsupported display driver / cuda driver combination")),
        torch.distributed.DistBackendError(NCCL.format("999 'unknown error'")),
        torch.distributed.DistBackendError(NCCL.format("'unspecified launch failure'")),
    ],
    ids=lambda error: f"{getattr(error, 'error_code', type(error).__name__)}",
)
def test_error_of_a_lost_gpu_has_the_kind_device_lost(error: RuntimeError) -> None:
    recorded = record_of(error)
    assert (recorded["kind"], recorded["title"]) == ("device_lost", "The GPU failed")
    assert recorded["detail"] == str(error)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (accelerator_error(2, "CUDA error: out of memory"), FailureKind.OUT_OF_MEMORY),
        (accelerator_error(710, "CUDA error: device-side assert triggered"), FailureKind.UNKNOWN),
        (
            accelerator_error(700, "CUDA error: an illegal memory access was encountered"),
            FailureKind.UNKNOWN,
        ),
        (torch.distributed.DistBackendError(NCCL.format("1 'invalid argument'")), FailureKind.UNKNOWN),
        (RuntimeError("unspecified launch failure"), FailureKind.UNKNOWN),
        (ValueError(LAUNCH_FAILURE), FailureKind.INPUTS_REFUSED),
    ],
)
def test_other_errors_do_not_have_the_kind_device_lost(error: Exception, kind: FailureKind) -> None:
    assert kind_of(error) == kind


def test_error_caused_by_a_lost_gpu_has_the_kind_device_lost() -> None:
    error = ValueError("the model can't be read")
    error.__cause__ = accelerator_error(719, LAUNCH_FAILURE)
    assert kind_of(error) == FailureKind.DEVICE_LOST


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_messages_of_error_codes_match_those_of_the_installed_cuda() -> None:
    cudart = torch.cuda.cudart()
    found = {code: cudart.cudaGetErrorString(cudart.cudaError(code)) for code in DEVICE_ERRORS}
    assert found == DEVICE_ERRORS
