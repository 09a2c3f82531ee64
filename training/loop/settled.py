"""The result of starting or checking a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from training.models import RoundStep, TrainingRun


@dataclass(frozen=True)
class Settled:
    """A step's new state with its reason, the figures to keep, and the run that the step has launched."""

    state: RoundStep.State
    reason: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    run: TrainingRun | None = None


def succeeded(reason: str = "", **outcome: Any) -> Settled:
    return Settled(RoundStep.State.SUCCEEDED, reason, outcome)


def stopped(reason: str, **outcome: Any) -> Settled:
    return Settled(RoundStep.State.STOPPED, reason, outcome)


def skipped(reason: str) -> Settled:
    return Settled(RoundStep.State.SKIPPED, reason)


def running(run: TrainingRun | None = None, **outcome: Any) -> Settled:
    return Settled(RoundStep.State.RUNNING, "", outcome, run)
