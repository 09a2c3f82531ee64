"""The training queue: the runs that are running, the runs that wait and why, and the workers."""

from __future__ import annotations

from dataclasses import dataclass

from config.wake import NOT_WOKEN
from training.models import TrainingRun, TrainingWorker

State = TrainingRun.State
NO_WORKER = "No training worker is running. Start one with scripts/up or docker compose."
BROKER = "The message queue is not responding. The run starts when it responds again."
ABOUT_TO_START = "A worker will start the run in a moment."


@dataclass(frozen=True)
class WaitingRun:
    """`position` is 1 for the run that starts next. `waits_for` is a sentence for users."""

    run: TrainingRun
    position: int
    waits_for: str


@dataclass(frozen=True)
class TrainingQueue:
    """`running` and `waiting` list the oldest runs first. `workers` lists the workers that were seen last
    first."""

    running: list[TrainingRun]
    waiting: list[WaitingRun]
    workers: list[TrainingWorker]


def training_queue() -> TrainingQueue:
    """Executes three queries, regardless of the number of runs."""
    runs = TrainingRun.objects.with_names().filter(state__in=[State.QUEUED, State.RUNNING])
    active = list(runs.order_by("created_at", "pk"))
    workers = list(TrainingWorker.objects.with_state().order_by("-seen_at"))
    running = [run for run in active if run.state == State.RUNNING]
    queued = [run for run in active if run.state == State.QUEUED]
    listening = TrainingWorker.objects.running().count()
    return TrainingQueue(
        running=running,
        waiting=[
            WaitingRun(run, position, _waits_for(run, position, running, listening))
            for position, run in enumerate(queued, start=1)
        ],
        workers=workers,
    )


def _waits_for(run: TrainingRun, position: int, running: list[TrainingRun], workers: int) -> str:
    if not workers and not running:
        return NO_WORKER
    if run.phase == NOT_WOKEN:
        return BROKER
    if position > 1:
        ahead = position - 1
        return f"{ahead} {'run is' if ahead == 1 else 'runs are'} ahead in the queue."
    if len(running) >= max(workers, 1):
        first = running[0]
        others = f" or {len(running) - 1} more" if len(running) > 1 else ""
        return f"The {first.kind} run of project {first.project.slug}{others} must end first."
    return ABOUT_TO_START
