"""The estimate of a run's time, memory and disk space, which is shown before launch.

`training.rlhf.planning` computes the estimate. The result is corrected with measurements from earlier
runs of the same kind and base model on this installation. The estimate is a range, because the lengths of the
generated answers are unknown and machines differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from annotation.models import Project
from config.problems import FieldProblem, Problem
from training.models import ModelVersion
from training.rlhf.models.files import shapes
from training.rlhf.planning import cost
from training.rlhf.planning.cost import Data, Part, Speed, Stage
from training.rlhf.planning.disk import Disk
from training.rlhf.planning.transformer import FLOAT
from training.rlhf.recipes.parts.base import Recipe
from training.runs.estimates.fitting import fitting_settings
from training.runs.estimates.machine import Machine, machines
from training.runs.estimates.plans import Earlier, Plan, earlier_runs, plan_of
from training.runs.estimates.reading import data_of
from training.runs.inputs import is_source, settle_models, source_of
from training.runs.recipes import catalog
from training.runs.threads import usable_threads

# Values for estimates without measurements: the float32 speeds of one thread of a server CPU and of a
# data-centre GPU, and the time that each needs to start one layer's operations. The speeds are accurate to
# within a factor of three.
CPU_THREAD, CPU_LAYER_SECONDS = 20e9, 5e-4
GPU, GPU_LAYER_SECONDS = 15e12, 3e-4
START_SECONDS = 2.0
UNSURE = 3.0
# The assumed range of the ratio between the durations of two runs of the same kind on the same machine.
# Durations differ because of other load on the machine.
NOISE_BELOW, NOISE_ABOVE = 0.8, 1.25
LONE_BELOW, LONE_ABOVE = 0.6, 1.7  # the assumed range if only one earlier run was measured
# The estimates of `benchmarks.memory_estimates` are within 20 % of the measured peaks.
MEMORY_BELOW, MEMORY_ABOVE = 0.8, 1.2
# Memory of torch itself and, on a GPU, of the driver's context. The main memory of a process with CUDA
# contains the libraries of CUDA, which take about 2 GB.
RUNTIME_BYTES = {"cpu": 450_000_000, "cuda": 600_000_000}
HOST_RUNTIME_BYTES = 3_000_000_000


@dataclass(frozen=True)
class Range:
    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.expected * factor, self.high * factor)


@dataclass(frozen=True)
class RunEstimate:
    """The estimate of one run. `memory` is the peak device memory: of one GPU, or of all processes on a CPU.
    `host_memory` is the main memory that a run on GPUs needs, or None on a CPU. `stages` are in order, each
    with its parts, and `peak_stage` names the largest.

    `fits` is None if the machine's memory lies within the estimated range or is unknown, or if only some of
    the running workers have enough memory. If the run does not fit, `fitting` contains settings that would
    make it fit, or None if no such settings were found."""

    seconds: Range
    memory: Range
    host_memory: Range | None
    stages: tuple[Stage, ...]
    peak_stage: str
    fits: bool | None
    fitting: Mapping[str, Any] | None
    disk: Disk
    machine: Machine
    workers: int
    model: str
    weights: int
    runs: int
    time_basis: str
    memory_basis: str

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the largest stage, which add up to the expected peak."""
        return next(stage.parts for stage in self.stages if stage.name == self.peak_stage)


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
    return estimate_settled(
        project=project,
        kind=kind,
        recipe=settings,
        models=models,
        snapshot=inputs.get("snapshot", ""),
        candidates=machines(),
    )


def estimate_settled(
    *,
    project: Project,
    kind: str,
    recipe: Recipe,
    models: Mapping[str, ModelVersion],
    snapshot: str,
    candidates: Sequence[Machine],
) -> RunEstimate:
    """Estimate a run with a validated recipe and input models. `candidates` contains the machines that could
    execute the run, smallest first. Raises Problem if there is no data, or if a model's size is unknown."""
    source = source_of(kind, recipe, models.get("policy"))
    data = data_of(project=project, kind=kind, recipe=recipe, snapshot=snapshot)
    if data.items == 0:
        raise Problem("There is no data for this run: no rankings, or no prompts in the chosen split.")
    asked = _Asked(kind, source, models, data)
    try:
        found = [_memory_on(machine, asked, recipe) for machine in candidates]
    except shapes.UnknownShape as error:
        reason = f"The model's size is unknown, so there is no estimate: {error}."
        raise Problem(
            reason, errors=[FieldProblem("recipe.base_model", reason)], type="unknown-size"
        ) from None
    verdicts = {one.fits for one in found}
    first, largest = found[0], found[-1]
    fits = first.fits if len(verdicts) == 1 else None
    shown = largest if fits is False else first
    base = models["policy"].base_model if is_source(models.get("policy"), source) else source
    earlier = earlier_runs(kind=kind, base_model=base, project=project, machine=shown.machine)
    slow, seconds = _seconds(shown.plan, shown.machine, earlier)
    fitting = None
    if fits is False:
        fitting = fitting_settings(
            recipe, lambda other: _memory_on(shown.machine, asked, other).fits, stage=shown.peak.name
        )
    return RunEstimate(
        seconds=seconds,
        memory=shown.memory,
        host_memory=shown.host_memory,
        stages=shown.stages,
        peak_stage=shown.peak.name,
        fits=fits,
        fitting=fitting,
        disk=shown.plan.disk,
        machine=shown.machine,
        workers=len(candidates) if shown.machine.basis == "worker" else 0,
        model=base,
        weights=shown.plan.weights,
        runs=len(earlier),
        time_basis=_time_basis(slow, shown.machine, shown.plan, base),
        memory_basis=_memory_basis([run.peak_bytes for run in earlier if run.peak_bytes]),
    )


@dataclass(frozen=True)
class _Asked:
    kind: str
    source: str
    models: Mapping[str, ModelVersion]
    data: Data


@dataclass(frozen=True)
class _Memory:
    """A run's memory on one machine."""

    machine: Machine
    plan: Plan
    stages: tuple[Stage, ...]
    memory: Range
    host_memory: Range | None

    @property
    def peak(self) -> Stage:
        return max(self.stages, key=lambda stage: stage.bytes)

    @property
    def fits(self) -> bool | None:
        verdicts = [_verdict(self.memory, self.machine.memory_bytes)]
        if self.host_memory is not None:
            verdicts.append(_verdict(self.host_memory, self.machine.host_memory_bytes))
        return False if False in verdicts else None if None in verdicts else True


def _verdict(needed: Range, there: int) -> bool | None:
    if not there or needed.low <= there <= needed.high:
        return None
    return needed.high < there


def _memory_on(machine: Machine, asked: _Asked, recipe: Recipe) -> _Memory:
    plan = plan_of(asked.kind, recipe, asked.source, asked.models, asked.data, machine)
    # On a CPU, all processes share the main memory. On GPUs, each process uses the memory of its own GPU.
    copies = 1 if machine.on_gpu else plan.processes
    runtime = Part("GPU driver" if machine.on_gpu else "torch and Python", RUNTIME_BYTES[machine.device])
    stages = tuple(
        replace(stage, parts=tuple(Part(one.name, copies * one.bytes) for one in (*stage.parts, runtime)))
        for stage in _largest_of_each_name(plan.usual.stages)
    )
    peak = max(stage.bytes for stage in stages)
    widest = copies * (runtime.bytes + plan.cautious.peak.bytes)
    memory = Range(MEMORY_BELOW * peak, peak, MEMORY_ABOVE * max(peak, widest))
    host = None
    if machine.on_gpu:
        # Only the first process writes checkpoints.
        needed = plan.processes * HOST_RUNTIME_BYTES + plan.usual.host_peak.host_bytes
        host = Range(MEMORY_BELOW * needed, needed, MEMORY_ABOVE * needed)
    return _Memory(machine, plan, stages, memory, host)


def _largest_of_each_name(stages: Sequence[Stage]) -> list[Stage]:
    """For each stage name, return the largest stage. A run can sample and score for several purposes, and
    only the largest of these stages matters."""
    found: dict[str, Stage] = {}
    for stage in stages:
        if stage.name not in found or stage.bytes > found[stage.name].bytes:
            found[stage.name] = stage
    return list(found.values())


def _seconds(plan: Plan, machine: Machine, earlier: Sequence[Earlier]) -> tuple[list[float], Range]:
    """Return each earlier run's actual duration divided by its computed duration, and the estimated duration
    of this run in seconds."""
    speed = _speed(machine, plan)
    usual = START_SECONDS + cost.seconds(plan.usual, speed)
    slow = [
        run.seconds / (START_SECONDS + cost.seconds(run.plan.usual, _speed(machine, run.plan)))
        for run in earlier
    ]
    if slow:
        below, above = (LONE_BELOW, LONE_ABOVE) if len(slow) == 1 else (NOISE_BELOW, NOISE_ABOVE)
        return slow, Range(min(slow) * below, median(slow), max(slow) * above).times(usual)
    cautious = START_SECONDS + cost.seconds(plan.cautious, speed)
    return slow, Range(usual / UNSURE, usual, max(cautious, usual) * UNSURE)


def _speed(machine: Machine, plan: Plan) -> Speed:
    """Return the speed of all processes together."""
    if machine.on_gpu:
        return Speed(GPU * plan.processes, GPU_LAYER_SECONDS / plan.processes)
    return Speed(CPU_THREAD * _threads(machine, plan), CPU_LAYER_SECONDS)


def _threads(machine: Machine, plan: Plan) -> int:
    """Return the number of threads that all processes together can use efficiently."""
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
    if machine.on_gpu:
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
