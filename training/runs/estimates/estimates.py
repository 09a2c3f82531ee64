"""The estimate of a run's time, memory and disk space, which is shown before launch.

`training.rlhf.planning` computes the estimate. The result is corrected with measurements from earlier
runs of the same kind and base model on this installation. The estimate is a range, because the lengths of the
generated answers are unknown and machines differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from annotation.models import Project
from config.problems import FieldProblem, Problem
from training.rlhf.models.files import shapes
from training.rlhf.planning import cost
from training.rlhf.planning.cost import Part, Speed
from training.rlhf.planning.disk import Disk
from training.rlhf.planning.transformer import FLOAT
from training.runs.estimates.machine import Machine, last_machine, this_host
from training.runs.estimates.plans import Earlier, Plan, earlier_runs, plan_of
from training.runs.estimates.reading import data_of
from training.runs.inputs import is_source, settle_models, source_of
from training.runs.recipes import catalog
from training.runs.threads import usable_threads

# Values for estimates without measurements: the float32 speed of a server CPU's thread and of a data-centre
# GPU, and the time needed to start one layer's operations. The speeds are accurate to within a factor of
# three.
CPU_THREAD, CPU_LAYER_SECONDS = 20e9, 5e-4
GPU, GPU_LAYER_SECONDS = 15e12, 3e-4
START_SECONDS = 2.0
UNSURE = 3.0
# The assumed range of the ratio between two runs' durations, if the runs are of the same kind and on the same
# machine. Durations differ because of other load on the machine.
NOISE_BELOW, NOISE_ABOVE = 0.8, 1.25
LONE_BELOW, LONE_ABOVE = 0.6, 1.7  # the assumed range if only one earlier run was measured
MEMORY_BELOW, MEMORY_ABOVE = 0.75, 1.25
# Memory of torch itself and, on a GPU, of the driver's context.
RUNTIME_BYTES = {"cpu": 450_000_000, "cuda": 600_000_000}


@dataclass(frozen=True)
class Range:
    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.expected * factor, self.high * factor)


@dataclass(frozen=True)
class RunEstimate:
    """The estimate of one run. `memory` is the peak device memory: of one GPU, or of all
    processes on a CPU. `parts` add up to the expected peak.
    `fits` is None if the machine's memory lies within the estimated range."""

    seconds: Range
    memory: Range
    parts: tuple[Part, ...]
    fits: bool | None
    disk: Disk
    machine: Machine
    machine_known: bool
    model: str
    weights: int
    runs: int
    time_basis: str
    memory_basis: str


@dataclass(frozen=True)
class Told:
    """An estimate, or the reasons why there is none. The launch form requests an estimate even while the form
    is incomplete, so missing input is not an error."""

    estimate: RunEstimate | None
    refused: tuple[FieldProblem, ...] = ()


def tell_estimate(**asked: Any) -> Told:
    """Call :func:`estimate_run`. If an estimate is refused, return the reasons instead of raising Problem."""
    try:
        return Told(estimate_run(**asked))
    except Problem as problem:
        return Told(None, problem.errors or (FieldProblem("", problem.detail),))


def estimate_run(
    *,
    project: Project,
    kind: str,
    recipe: Mapping[str, Any],
    inputs: Mapping[str, str],
    preset: str = "default",
) -> RunEstimate:
    """Estimate a run. Writes nothing and freezes no snapshot. Raises Problem if `launch_run` would raise it,
    or if a model's size is unknown."""
    chosen = catalog.preset_settings(kind=kind, preset=preset) | dict(recipe)
    settings = catalog.parse_recipe(kind=kind, settings=chosen)
    models, errors = settle_models(project=project, kind=kind, recipe=settings, given=inputs)
    if errors:
        raise Problem("; ".join(f"{e.field}: {e.reason}" for e in errors), errors=errors)
    source = source_of(kind, settings, models.get("policy"))
    data = data_of(project=project, kind=kind, recipe=settings, snapshot=inputs.get("snapshot", ""))
    if data.items == 0:
        raise Problem("There is no data for this run: no rankings, or no prompts in the chosen split.")
    try:
        plan = plan_of(kind, settings, source, models, data)
    except shapes.UnknownShape as error:
        reason = f"The model's size is unknown, so there is no estimate: {error}."
        raise Problem(
            reason, errors=[FieldProblem("recipe.base_model", reason)], type="unknown-size"
        ) from None
    recorded = last_machine()
    machine = recorded or this_host()
    base = models["policy"].base_model if is_source(models.get("policy"), source) else source
    earlier = earlier_runs(kind=kind, base_model=base, project=project)
    return _estimate(plan, machine, recorded is not None, base, earlier)


def _estimate(
    plan: Plan, machine: Machine, known: bool, base: str, earlier: Sequence[Earlier]
) -> RunEstimate:
    speed = _speed(machine, plan)
    usual = START_SECONDS + cost.seconds(plan.usual, speed)
    slow = [
        run.seconds / (START_SECONDS + cost.seconds(run.plan.usual, _speed(machine, run.plan)))
        for run in earlier
    ]
    if slow:
        below, above = (LONE_BELOW, LONE_ABOVE) if len(slow) == 1 else (NOISE_BELOW, NOISE_ABOVE)
        time = Range(min(slow) * below, median(slow), max(slow) * above).times(usual)
    else:
        cautious = START_SECONDS + cost.seconds(plan.cautious, speed)
        time = Range(usual / UNSURE, usual, max(cautious, usual) * UNSURE)
    runtime = Part(
        "torch and Python" if machine.device == "cpu" else "GPU driver", RUNTIME_BYTES[machine.device]
    )
    # On a CPU, all processes use the same memory. On GPUs, each process uses the memory of its own GPU.
    copies = plan.processes if machine.device == "cpu" else 1
    parts = tuple(Part(part.name, copies * part.bytes) for part in (*plan.usual.peak.parts, runtime))
    peak = copies * (runtime.bytes + plan.usual.peak.bytes)
    widest = copies * (runtime.bytes + plan.cautious.peak.bytes)
    memory = Range(MEMORY_BELOW * peak, peak, MEMORY_ABOVE * max(peak, widest))
    return RunEstimate(
        seconds=time,
        memory=memory,
        parts=parts,
        fits=True
        if memory.high < machine.memory_bytes
        else False
        if memory.low > machine.memory_bytes
        else None,
        disk=plan.disk,
        machine=machine,
        machine_known=known,
        model=base,
        weights=plan.weights,
        runs=len(earlier),
        time_basis=_time_basis(slow, machine, plan, base),
        memory_basis=_memory_basis([run.peak_bytes for run in earlier if run.peak_bytes]),
    )


def _speed(machine: Machine, plan: Plan) -> Speed:
    """The speed of all processes together."""
    if machine.device == "cuda":
        return Speed(GPU * plan.processes, GPU_LAYER_SECONDS / plan.processes)
    return Speed(CPU_THREAD * _threads(machine, plan), CPU_LAYER_SECONDS)


def _threads(machine: Machine, plan: Plan) -> int:
    """The number of threads that all processes together can use efficiently."""
    each = usable_threads(
        weight_bytes=FLOAT * plan.weights, available=max(1, machine.threads // plan.processes)
    )
    return min(machine.threads, each * plan.processes)


def _time_basis(slow: Sequence[float], machine: Machine, plan: Plan, base: str) -> str:
    if slow:
        runs = "one earlier run" if len(slow) == 1 else f"{len(slow)} earlier runs"
        return f"Measured: scaled from {runs} of this kind that started from {base} on this installation."
    threads = _threads(machine, plan)
    each = "one thread" if threads == 1 else f"each of {threads} threads"
    assumed = f"{CPU_THREAD / 1e9:.0f} GFLOP/s on {each}"
    if machine.device == "cuda":
        assumed = f"{GPU / 1e12:.0f} TFLOP/s in float32"
    return (
        f"Assumed: {assumed}, accurate to within a factor of three. There are no earlier runs of this "
        f"kind that started from {base} on this installation."
    )


def _memory_basis(peaks: Sequence[int]) -> str:
    basis = "Computed from weights, gradients, Adam's moments, activations, keys and values."
    if not peaks:
        return basis
    most = f"{max(peaks) / 1e9:.1f} GB"
    return f"{basis} Earlier runs of this kind used {'' if len(peaks) == 1 else 'up to '}{most}."
