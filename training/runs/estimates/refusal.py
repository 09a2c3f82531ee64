"""Refuse a run that can't fit into the memory of any running worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation.models import Project
from config.problems import FieldProblem, Problem
from training.models import ModelVersion
from training.rlhf.recipes.parts.base import Recipe
from training.runs.estimates.estimates import RunEstimate, estimate_settled
from training.runs.estimates.machine import machines

ANYWAY = "To launch the run anyway, set force (--force on the command line)."


class DoesNotFit(Problem):
    """Raised if a run can't fit into memory. `errors` names the settings that would make it fit."""

    status = 400
    type = "does-not-fit"


def refuse_unfit(
    *, project: Project, kind: str, recipe: Recipe, models: Mapping[str, ModelVersion], snapshot: str
) -> None:
    """Raise DoesNotFit if no running worker has enough memory for the run. If no worker has reported or there
    is no estimate, this can't be determined, and nothing is raised."""
    candidates = machines()
    if candidates[0].basis != "worker":
        return
    try:
        estimate = estimate_settled(
            project=project,
            kind=kind,
            recipe=recipe,
            models=models,
            snapshot=snapshot,
            candidates=candidates,
        )
    except Problem:
        return  # there is no data, or a model's size is unknown
    if estimate.fits is False:
        raise DoesNotFit(reason_of(estimate), errors=_errors(estimate.fitting or {}))


def reason_of(estimate: RunEstimate) -> str:
    """Return the reason why the run does not fit, and the settings that would make it fit."""
    machine = estimate.machine
    place = machine.name or "the worker's machine"
    needed, there = estimate.memory.expected, machine.memory_bytes
    what = f"in the stage {estimate.peak_stage}"
    if estimate.host_memory is not None and estimate.memory.low <= there:
        place, what = "the worker's machine", "of main memory"
        needed, there = estimate.host_memory.expected, machine.host_memory_bytes
    said = f"The run needs about {_size(needed)} {what}, but {place} ({machine.worker}) has {_size(there)}."
    if estimate.fitting:
        advice = ", ".join(f"{name}={_shown(value)}" for name, value in estimate.fitting.items())
        return f"{said} The run would fit with {advice}. {ANYWAY}"
    return (
        f"{said} The run would not fit with any of the settings that save memory, so use a smaller model or "
        f"a larger machine. {ANYWAY}"
    )


def _errors(fitting: Mapping[str, Any]) -> list[FieldProblem]:
    return [
        FieldProblem(f"recipe.{name}", f"The run would fit with {_shown(value)}.")
        for name, value in fitting.items()
    ]


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _size(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
