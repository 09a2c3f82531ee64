"""Detects the devices of the machine that this process runs on, without importing torch. A worker never
imports torch, so it asks the GPU driver's `nvidia-smi`."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

logger = logging.getLogger(__name__)

CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNLIMITED = 1 << 60  # version 1 of cgroups represents "no limit" as a number near 2^63
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
QUERY_SECONDS = 20.0  # without persistence mode, the driver takes seconds to start


@dataclass(frozen=True)
class GPU:
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Here:
    """This machine: the GPUs that torch can use, the main memory (or the container's memory limit, if lower),
    and the number of processors that this process can use."""

    gpus: tuple[GPU, ...]
    memory_bytes: int
    threads: int


def this_machine() -> Here:
    return Here(visible_gpus(os.environ, _torch_version()), host_memory(), len(os.sched_getaffinity(0)))


def visible_gpus(environment: Mapping[str, str], torch_version: str) -> tuple[GPU, ...]:
    """Return the GPUs that a training process with this environment can use, in torch's order. The result is
    empty if torch was built without CUDA, or if there is no driver.

    CUDA_VISIBLE_DEVICES lists indices or UUIDs. As in CUDA, the first unknown entry ends the list. A part of
    a GPU (MIG) is left out, because this query does not return its size.
    """
    if torch_version.endswith("+cpu"):
        return ()
    try:
        done = subprocess.run(
            QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=False, env=dict(environment)
        )
    except FileNotFoundError:
        return ()
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("The GPUs can't be listed: %s", error)
        return ()
    if done.returncode:
        logger.warning("The GPUs can't be listed: %s", (done.stderr or done.stdout).strip())
        return ()
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    found = {
        (index, uuid): GPU(name, int(memory) * 2**20)
        for index, uuid, name, memory in rows
        if memory.isdecimal()  # "[N/A]" for devices that share the main memory
    }
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    return tuple(found.values()) if chosen is None else tuple(_chosen(found, chosen))


def _chosen(found: Mapping[tuple[str, str], GPU], chosen: str) -> Iterator[GPU]:
    for entry in (part.strip() for part in chosen.split(",")):
        match = [
            gpu
            for (index, uuid), gpu in found.items()
            if entry and (index == entry or (entry.startswith("GPU-") and uuid.startswith(entry)))
        ]
        if len(match) != 1:
            return
        yield match[0]


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return ""


def host_memory(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Return the machine's memory or the lowest memory limit of this process's control groups, whichever is
    lower, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *_limits(cgroups, own)])


def _limits(cgroups: Path, own: Path) -> Iterator[int]:
    """Yield the memory limits of this process's control group and of the groups that contain it. The files of
    both versions of cgroups are read. In a container, this process's own group is usually the root."""
    lines: list[str] = []
    with suppress(OSError):
        lines = own.read_text().splitlines()
    paths = {"/", *(line.split(":", 2)[2] for line in lines if line.count(":") >= 2)}
    for path in paths:
        folder = Path(path.lstrip("/"))
        for group in (folder, *folder.parents):
            for file in (
                cgroups / group / "memory.max",
                cgroups / "memory" / group / "memory.limit_in_bytes",
            ):
                with suppress(OSError, ValueError):  # "max" means no limit
                    if (limit := int(file.read_text())) < UNLIMITED:
                        yield limit
