"""The machine's limits: the speed of large matrix products, and the bandwidth of its memory."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib import metadata
from typing import Literal, TypeVar

import torch

from benchmarks.gpu.sections import Figures

Device = Literal["cuda", "cpu"]
Result = TypeVar("Result")

# The matrices and the copied tensor are larger than the caches of every current GPU.
MATRIX, COPIED_BYTES = {"cuda": 8192, "cpu": 256}, {"cuda": 2**31, "cpu": 2**22}
PRODUCTS, COPIES, REPEATS = 10, 10, 5

MATMUL, BANDWIDTH = "bf16 matrix products (TFLOP/s)", "copy bandwidth (GB/s)"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for name in ("torch", "transformers", "peft", "pydantic", "triton"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def measure(device: Device) -> Figures:
    """Return the device's name, memory and measured limits. Each limit is the best of a few repetitions."""
    size = MATRIX[device]
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(left)
    source = torch.zeros(COPIED_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    multiplying = fastest(lambda: torch.mm(left, right, out=product), PRODUCTS, device)
    copying = fastest(lambda: target.copy_(source), COPIES, device)
    figures: Figures = {}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        figures = {"device": properties.name, "memory (GB)": properties.total_memory / 1e9}
    return figures | {
        MATMUL: 2 * size**3 / multiplying / 1e12,
        BANDWIDTH: 2 * source.nbytes / copying / 1e9,  # each byte is read and written
    }


def fastest(run: Callable[[], object], times: int, device: Device) -> float:
    """Return the seconds per call in the fastest of a few repetitions, each of which makes `times` calls."""

    def repeat() -> None:
        for _ in range(times):
            run()

    repeat()
    return min(timed(repeat, device)[1] for _ in range(REPEATS)) / times


def timed(run: Callable[[], Result], device: Device) -> tuple[Result, float]:
    """Return the call's result and elapsed seconds. The device is idle before and after the call."""
    wait_for(device)
    started = time.perf_counter()
    result = run()
    wait_for(device)
    return result, time.perf_counter() - started


def wait_for(device: Device) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def free_bytes(device: Device) -> float:
    """Return the device's free memory in bytes. On a CPU, the result is always 4 GB."""
    if device == "cpu":
        return 4e9
    free, _ = torch.cuda.mem_get_info()
    return float(free)


def forget_peak(device: Device) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak_figures(device: Device, estimated: float) -> Figures:
    """Return the estimated peak memory. On a GPU, also return the measured peak since the last call of
    `forget_peak`, and the ratio of the estimate to the measured peak."""
    figures: Figures = {"peak memory, estimated (GB)": estimated / 1e9}
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
        figures["peak memory, measured (GB)"] = peak / 1e9
        figures["peak memory, estimated / measured"] = estimated / peak
    return figures
