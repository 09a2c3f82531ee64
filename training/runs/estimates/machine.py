"""The machine that a run would use, and the machine that a finished run has used."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.models import TrainingRun, TrainingWorker
from training.runs.estimates.devices import GPU, Here, host_memory, this_machine


@dataclass(frozen=True)
class Machine:
    """A machine for training runs. `device` is `cpu` or `cuda`. `memory_bytes` is the memory of one GPU, or
    the main memory. `threads` is the number of threads that torch's operators use.

    `host_memory_bytes` is the main memory, or 0 if it is unknown. `gpus` is the number of GPUs. `basis` is
    the source of this information: a running worker, a worker that no longer reports, an earlier run, or the
    web server's machine. In the last case, the worker is assumed to run on that machine.
    """

    device: str
    name: str
    memory_bytes: int
    threads: int
    host_memory_bytes: int = 0
    gpus: int = 0
    basis: str = "server"
    worker: str = ""

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


def machines() -> list[Machine]:
    """Return the machines that could execute a run, smallest first. Any running worker can execute the run.
    If no worker is running, the result is one machine: that of the worker seen last, that of the newest run,
    or this server."""
    running = [_of_worker(worker, "worker") for worker in TrainingWorker.objects.running()]
    if running:
        return sorted(running, key=lambda one: (one.on_gpu, one.memory_bytes))
    gone = TrainingWorker.objects.order_by("-seen_at").first()
    if gone is not None:
        return [_of_worker(gone, "worker_gone")]
    return [_of_newest_run() or machine_of(this_machine(), basis="server")]


def machine_of(here: Here, *, basis: str, worker: str = "") -> Machine:
    device, name, memory_bytes = "cpu", "", here.memory_bytes
    if here.gpus:  # a run with several processes is limited by the smallest GPU
        smallest = min(here.gpus, key=lambda gpu: gpu.memory_bytes)
        device, name, memory_bytes = "cuda", smallest.name, smallest.memory_bytes
    return Machine(
        device,
        name,
        memory_bytes,
        here.threads,
        host_memory_bytes=here.memory_bytes,
        gpus=len(here.gpus),
        basis=basis,
        worker=worker,
    )


def used_machine(*, processes: int = 1) -> dict[str, Any]:
    """Return the machine of this training process, with the run's peak memory use as `peak_bytes`. On a GPU,
    this is the peak use of one GPU. On a CPU, this is the total of all processes, assuming that each of them
    needs as much memory as this one."""
    torch = sys.modules["torch"]
    host = host_memory()
    if torch.cuda.is_available():
        device = torch.cuda.get_device_properties(0)
        machine = Machine(
            "cuda",
            device.name,
            int(device.total_memory),
            torch.get_num_threads(),
            host_memory_bytes=host,
            gpus=torch.cuda.device_count(),
        )
        peak = int(torch.cuda.max_memory_reserved(0))
    else:
        machine = Machine("cpu", "", host, torch.get_num_threads() * processes, host_memory_bytes=host)
        peak = _peak_of_this_process() * processes
    recorded = asdict(machine)
    return {name: recorded[name] for name in RECORDED} | {"peak_bytes": peak}


RECORDED = ("device", "name", "memory_bytes", "threads", "host_memory_bytes", "gpus")


def machine_in(recorded: dict[str, Any], *, basis: str = "earlier_run") -> Machine:
    """Return the machine that a run has recorded. Earlier versions recorded only some of the machine's
    attributes."""
    return Machine(**{name: recorded[name] for name in RECORDED if name in recorded}, basis=basis)


def _of_worker(worker: TrainingWorker, basis: str) -> Machine:
    gpus = tuple(GPU(gpu["name"], gpu["memory_bytes"]) for gpu in worker.gpus)
    return machine_of(Here(gpus, worker.memory_bytes, worker.threads), basis=basis, worker=worker.name)


def _of_newest_run() -> Machine | None:
    """Return the machine of the newest successful run that recorded its machine; None if there is no such
    run."""
    newest = TrainingRun.objects.filter(state="succeeded", result__has_key="machine").order_by("-created_at")
    recorded = newest.values_list("result__machine", flat=True).first()
    return None if recorded is None else machine_in(recorded)


def _peak_of_this_process() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
