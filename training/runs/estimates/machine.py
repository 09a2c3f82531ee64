"""Data for the next estimate, recorded with a run's result: the machine that the run used and the run's peak
memory."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.models import TrainingRun

UNLIMITED = 1 << 60  # cgroups represent "no limit" as a number near 2^63
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Machine:
    """A machine for training runs. `device` is `cpu` or `cuda`. `memory_bytes` is the device's total memory.
    `threads` is the number of threads that torch's operators use."""

    device: str
    name: str
    memory_bytes: int
    threads: int


def this_host() -> Machine:
    """The machine that this process runs on, without importing torch. The training worker is assumed to run
    on the same machine."""
    return Machine("cpu", "", host_memory(), len(os.sched_getaffinity(0)))


def host_memory() -> int:
    """The machine's memory in bytes, or the container's limit if that is lower."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in CGROUP_LIMITS:
        with suppress(OSError, ValueError):
            limit = int(file.read_text())
            if limit < UNLIMITED:
                return min(total, limit)
    return total


def used_machine(*, processes: int = 1) -> dict[str, Any]:
    """The machine of this training process, and the run's peak memory `peak_bytes`: on a GPU, the memory of
    one GPU, and on a CPU, the memory of all processes. They need about as much as this one."""
    torch = sys.modules["torch"]
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        machine = Machine("cuda", device.name, int(device.total_memory), torch.get_num_threads())
        return asdict(machine) | {"peak_bytes": int(torch.cuda.max_memory_reserved(0))}
    machine = Machine("cpu", "", host_memory(), torch.get_num_threads() * processes)
    return asdict(machine) | {"peak_bytes": _peak_of_this_process() * processes}


def last_machine() -> Machine | None:
    """The machine of the newest successful run that recorded its machine; None if there is no such run."""
    newest = TrainingRun.objects.filter(state="succeeded", result__has_key="machine").order_by("-created_at")
    recorded = newest.values_list("result__machine", flat=True).first()
    if recorded is None:
        return None
    return Machine(**{name: recorded[name] for name in ("device", "name", "memory_bytes", "threads")})


def _peak_of_this_process() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
