"""Whether a training process is healthy: how long it may go without progress, and how long it may take.

The training process itself measures the time since its last progress and sends it with each heartbeat. That
time is correct even if the database was down in between. The supervisor adds the time for which the heartbeat
has been missing. The supervisor counts only time in which the database answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs.failures import Record, record
from training.runs.interruptions import STALE_AFTER
from training.runs.process.reporter import SAVING


@dataclass(frozen=True)
class Limits:
    """The maximum time without progress: `first_step` until the first step has ended, and `step` after that.
    `first_step` also covers importing libraries, downloading a model and loading it, which report no
    progress."""

    first_step: timedelta
    step: timedelta
    # A process without any heartbeat is frozen, for example by SIGSTOP. `silence` is shorter than
    # STALE_AFTER, so that the supervisor names the cause before the sweep considers the worker lost.
    silence: timedelta = STALE_AFTER - timedelta(seconds=5)
    # At its time limit, the training process ends the run itself at the next step. If ending takes longer
    # than `overtime`, the process is killed.
    overtime: timedelta = timedelta(minutes=2)


Kind = TrainingRun.Kind
# Inner loops report progress for every micro-batch and every generated token, so even a large model on a slow
# machine needs only a small part of these times. Saving and reloading a large model has no inner loop. Run
# kinds that train therefore get more time.
TRAINS = Limits(first_step=timedelta(hours=2), step=timedelta(minutes=45))
ANSWERS = Limits(first_step=timedelta(hours=2), step=timedelta(minutes=30))
LIMITS: Mapping[str, Limits] = {
    Kind.SFT: TRAINS,
    Kind.REWARD_MODEL: TRAINS,
    Kind.REJECTION_SAMPLING: TRAINS,
    Kind.RLOO: TRAINS,
    Kind.PPO: TRAINS,
    Kind.DPO: TRAINS,
    Kind.SAMPLE: ANSWERS,
    Kind.EVALUATE: ANSWERS,
}
# A longer gap between two reads of the run is an outage of the database, in which no heartbeat could arrive.
LONGEST_GAP_SECONDS = 2.0


@dataclass(frozen=True)
class Verdict:
    """Why a process must be killed. If `resumes`, the run continues in a new process."""

    error: Record
    resumes: bool = False


class Health:
    """Checks repeatedly whether one training process is healthy, based on its run."""

    def __init__(self, run: TrainingRun, limits: Limits, *, now: float) -> None:
        self._limits = limits
        self._remaining = remaining_seconds(run)
        self._looked_at = self._began = now
        self._heartbeat_at: datetime | None = None
        self._silent = 0.0
        self._overtime = 0.0

    def judge(self, run: TrainingRun, *, now: float, saving: bool = False) -> Verdict | None:
        """Return the reason to kill the process, or None if the process is healthy. `run` has just been read
        from the database. `saving` states whether the process is writing a checkpoint. Time spent writing a
        checkpoint does not count as overtime."""
        gap, self._looked_at = min(now - self._looked_at, LONGEST_GAP_SECONDS), now
        self._silent = 0.0 if run.heartbeat_at != self._heartbeat_at else self._silent + gap
        self._heartbeat_at = run.heartbeat_at
        idle = self._silent + _reported_idle(run)
        allowed = (self._limits.step if run.step else self._limits.first_step).total_seconds()
        if run.phase == SAVING:
            # While a process saves its result, it sends no heartbeat. All other work is done.
            return _hung(run, idle) if self._silent > self._limits.step.total_seconds() else None
        if idle > allowed:
            return _hung(run, idle)
        if self._silent > self._limits.silence.total_seconds():
            return _frozen(run, self._silent)
        if self._remaining is not None and now - self._began > self._remaining:
            self._overtime += 0.0 if saving else gap
            if self._overtime > self._limits.overtime.total_seconds():
                return _too_long(run)
        return None


def remaining_seconds(run: TrainingRun) -> float | None:
    """Return the number of seconds that the run's current attempt may take, or None if there is no limit. A
    recipe that was stored before `max_minutes` existed has no limit."""
    minutes = run.recipe.get("max_minutes")
    return None if minutes is None else max(0.0, 60.0 * minutes - run.spent_seconds)


def _reported_idle(run: TrainingRun) -> float:
    if run.heartbeat_at is None or run.progressed_at is None:
        return 0.0
    return max(0.0, (run.heartbeat_at - run.progressed_at).total_seconds())


def _hung(run: TrainingRun, idle: float) -> Verdict:
    detail = f"No progress for {duration(idle)}. Last reported: {_place(run)}."
    return Verdict(record(FailureKind.HUNG, detail))


def _frozen(run: TrainingRun, silent: float) -> Verdict:
    detail = (
        f"The training process sent no heartbeat for {duration(silent)}, although the process still existed"
        " and the database was responding. Something outside Rankloop stopped the process. Last reported:"
        f" {_place(run)}."
    )
    return Verdict(record(FailureKind.KILLED, detail, title="The training process was frozen"), resumes=True)


def _too_long(run: TrainingRun) -> Verdict:
    detail = (
        f"The run reached its time limit of {run.recipe['max_minutes']:g} minutes and did not stop at its"
        f" next step. Last reported: {_place(run)}."
    )
    return Verdict(record(FailureKind.TIME_LIMIT, detail))


def _place(run: TrainingRun) -> str:
    return f"phase {run.phase!r}, step {run.step} of {run.total_steps}"


def duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"
