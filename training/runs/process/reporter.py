"""The reporter of a training process: it buffers reports, and one thread writes them and sends the heartbeat.

The training loop never waits for the database, because `check` only reads flags and the clock. Each heartbeat
carries the time since the loop last made progress. Every report, every `check` and every call of `alive` in
an inner loop (`training.rlhf.core.alive`) counts as progress.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import connection

from annotation.database.outages import OUTAGE_LIMIT
from training.rlhf.core.alive import heard_by
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, PrintReporter, StopRequested
from training.rlhf.core.waiting import waits_shown_by
from training.runs.progress.events import Event, LostClaim, Progress, Saved, append_events
from training.runs.transitions import HEARTBEAT_EVERY

# The interval is not shorter, for two reasons. At commit, each write with a NOTIFY takes a lock that all runs
# share. More frequent updates would not make the run's page more useful.
WRITE_EVERY_SECONDS = 0.25
RETRY_AFTER_SECONDS = 1.0
# The phase in which the reporter has ended and the result is written to the database.
SAVING = "saving the result"
logger = logging.getLogger(__name__)


class TimeLimitReached(RunFailure, StopRequested):
    """Raised by `check` if the run has reached its recipe's time limit."""

    kind = FailureKind.TIME_LIMIT


@dataclass(frozen=True)
class _Batch:
    """The data of one write. If a write is repeated, its `number` stays the same."""

    number: int
    events: list[Event]
    progress: Progress | None
    checkpoint: tuple[int, float] | None


@dataclass(frozen=True)
class _FirstStep:
    """The time and the step at which a phase began."""

    at: float
    step: int


class DatabaseReporter:
    """A training.rlhf.core.reporter.Reporter that writes to the database. Use the reporter as a context
    manager.

    At the end of the `with` block, all remaining reports are written. If the database can't be reached, the
    reports are kept and sent later. If the attempt was replaced in the meantime, `check` raises LostClaim
    once the database can be reached again. `check` also raises LostClaim if the database can't be reached for
    `give_up_after`.

    `limit_seconds` is the time that the attempt may take. After that, `check` raises TimeLimitReached.
    """

    def __init__(
        self,
        *,
        run_id: UUID,
        attempt: int,
        heartbeat_every: timedelta = HEARTBEAT_EVERY,
        give_up_after: timedelta = OUTAGE_LIMIT,
        limit_seconds: float | None = None,
    ) -> None:
        self._run_id = run_id
        self._attempt = attempt
        self._heartbeat_every = heartbeat_every.total_seconds()
        self._give_up_after = give_up_after.total_seconds()
        self._ends_at = None if limit_seconds is None else time.monotonic() + limit_seconds
        self._log = PrintReporter()  # standard output is the run's log
        self._wake = threading.Condition()
        self._events: list[Event] = []
        self._batches = 0
        self._unsaid: _Batch | None = None
        self._progress: Progress | None = None
        self._checkpoint: tuple[int, float] | None = None  # the checkpoint's step, and when it was saved
        self._phase, self._step, self._total = "", 0, 0
        self._first_in: dict[str, _FirstStep] = {}
        self._phase_ends: dict[str, float | None] = {}
        self._flushing = self._closing = False
        self._stop_asked = False
        self._lost: str | None = None
        self._heard_at = self._alive_at = time.monotonic()
        self._unheard_since: float | None = None
        self._waiting = 0
        self._saving = False
        self._as_listener = ExitStack()
        self._thread = threading.Thread(target=self._write_loop, name="run-reporter", daemon=True)

    def __enter__(self) -> DatabaseReporter:
        self._as_listener.enter_context(heard_by(self.alive))
        self._as_listener.enter_context(waits_shown_by(self.waiting))
        self._thread.start()
        return self

    def __exit__(self, raised: type[BaseException] | None, *exc_info: object) -> None:
        self._as_listener.close()
        with self._wake:
            self._closing, self._saving = True, raised is None
            self._wake.notify_all()
        self._thread.join()

    def alive(self) -> None:
        """Record that the loop is making progress. This method is called very often, so it only reads
        the clock."""
        self._alive_at = time.monotonic()

    @contextmanager
    def waiting(self, reason: str) -> Iterator[None]:
        """Use this context while the run waits for people, for a device or for another service. A waiting run
        is not stuck, so the time spent in the context doesn't count as time without progress. `reason`
        becomes the phase until the wait ends."""
        if reason:
            self._show_phase(reason)
        self._waiting += 1
        try:
            yield
        finally:
            self.alive()
            self._waiting -= 1
            if reason:
                self._show_phase(self._phase)

    def _show_phase(self, phase: str) -> None:
        """Show another phase at the same step. The run's page shows the phase of the newest progress event,
        so the phase needs an event."""
        with self._wake:
            self._progress = Progress(phase, self._step, self._total, None)
            self._wake.notify_all()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self.alive()
        self._log.metrics(step, values)
        self._say(Event("metrics", step, {"values": {name: float(value) for name, value in values.items()}}))

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        self.alive()
        data = {
            "prompt": [dict(message) for message in messages],
            "before": before,
            "after": after,
            "scores": {name: float(score) for name, score in scores.items()},
        }
        self._say(Event("sample", step, data))

    def progress(self, phase: str, step: int, total: int) -> None:
        now = self._alive_at = time.monotonic()
        with self._wake:
            name, _, detail = phase.partition(": ")
            if not detail:
                self._phase_ends[name] = self._expected_end(name, step, total, now)
            ends_at = self._phase_ends.get(name)
            eta = None if ends_at is None else round(max(0.0, ends_at - now), 1)
            self._phase = phase
            self._step, self._total = step, total
            self._progress = Progress(phase, step, total, eta)
            self._wake.notify_all()

    def _expected_end(self, phase: str, step: int, total: int, now: float) -> float | None:
        """Return the expected end of the phase, assuming that its steps keep their speed. The result is None
        before the second step.

        A resumed run can start in the middle of a phase. The speed is therefore measured from this attempt's
        first step in the phase. If the phase returns to this step or to an earlier step, the measurement
        starts again."""
        first = self._first_in.get(phase)
        if first is None or step <= first.step:
            first = self._first_in[phase] = _FirstStep(now, step)
        spent, done = now - first.at, step - first.step
        return now + spent / done * (total - step) if done > 0 and step <= total else None

    def flush(self) -> None:
        """Wait until every event is in the database. Raises LostClaim if this attempt can't write to the
        database any more. In that case, a checkpoint must not be written: a later attempt that resumes from
        the checkpoint would never repeat the lost events."""
        with self.waiting(""), self._wake:
            self._flushing = True
            self._wake.notify_all()
            while (self._events or self._unsaid) and self._lost is None and self._thread.is_alive():
                self._wake.wait(timeout=self._heartbeat_every)
            self._flushing = False
        if self._lost is not None:
            raise LostClaim(self._lost)

    def check(self) -> None:
        """Raise Cancelled if the run was asked to stop, LostClaim if the run no longer belongs to this
        attempt, and TimeLimitReached if the time limit has passed."""
        self.check_claim()
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise TimeLimitReached(f"The run reached its time limit {self._place()}.")

    def checkpoint(self, step: int) -> None:
        self.alive()
        self._log.checkpoint(step)
        with self._wake:
            self._checkpoint = step, time.monotonic()
            self._wake.notify_all()

    def check_claim(self) -> None:
        """Like `check`, but without the time limit. A run that has finished its work in time keeps its
        result."""
        self.alive()
        if self._lost is not None:
            raise LostClaim(self._lost)
        if self._stop_asked:
            raise Cancelled("the run was asked to stop")

    def ask_to_stop(self) -> None:
        """Ask the training loop to stop. This method is safe in a signal handler, because it only sets a
        flag."""
        self._stop_asked = True

    def _place(self) -> str:
        return f"in phase {self._phase!r}, at step {self._step}" if self._phase else "before its first step"

    def _say(self, event: Event) -> None:
        with self._wake:
            self._events.append(event)
            self._wake.notify_all()

    def _write_loop(self) -> None:
        try:
            while self._lost is None and not self._write_once():
                with self._wake:
                    self._wake.wait_for(self._must_write_now, timeout=WRITE_EVERY_SECONDS)
        finally:
            connection.close()

    def _must_write_now(self) -> bool:
        return self._flushing or self._closing

    def _write_once(self) -> bool:
        """Wait until there are reports or the next heartbeat is due, and write to the database. Returns True
        when the reporter is closing and everything is written."""
        with self._wake:
            self._wake.wait_for(
                lambda: self._unsaid or self._closing or self._events or self._progress or self._checkpoint,
                timeout=self._heartbeat_every,
            )
            closing = self._closing and self._unsaid is None
            if self._unsaid is None:
                self._unsaid = self._next_batch()
            batch = self._unsaid
            is_idle = not (self._waiting or self._closing)
            idle = time.monotonic() - self._alive_at if is_idle else 0.0
        try:
            # After a request to cancel, the phase is "stopping". Later progress reports must not overwrite
            # this phase.
            progress = batch.progress
            if progress is not None and self._stop_asked:
                progress = replace(progress, phase=None)
            asked = append_events(
                run_id=self._run_id,
                attempt=self._attempt,
                events=batch.events,
                progress=progress,
                saved=_saved(batch.checkpoint),
                idle_seconds=max(0.0, idle),
                batch=batch.number,
            )
        except LostClaim as error:
            self._lost = str(error)
        except DatabaseTrouble as error:
            self._unheard(error)
            return False
        else:
            if self._unheard_since is not None:
                silent = time.monotonic() - self._unheard_since
                logger.warning("The database is accepting reports again after %.0f s.", silent)
                self._unheard_since = None
            self._heard_at = time.monotonic()
            self._stop_asked = self._stop_asked or asked
            with self._wake:
                self._unsaid, self._batches = None, batch.number
                self._wake.notify_all()
        return closing

    def _next_batch(self) -> _Batch:
        """Return everything that was reported since the last batch. The caller must hold the lock."""
        events, progress = self._events, self._progress
        checkpoint = self._checkpoint
        self._events, self._progress, self._checkpoint = [], None, None
        if progress and progress.step is not None:
            data = {"phase": progress.phase, "total_steps": progress.total_steps}
            events = [*events, Event("progress", progress.step, data | {"eta_seconds": progress.eta_seconds})]
        if self._closing and self._saving:
            # The supervisor must not expect heartbeats any more.
            last = progress or Progress(SAVING, None, None, None)
            progress = replace(last, phase=SAVING, eta_seconds=None)
        return _Batch(self._batches + 1, events, progress, checkpoint)

    def _unheard(self, error: DatabaseTrouble) -> None:
        """Handle a failed write. The same batch is written again, for a limited time."""
        if self._unheard_since is None:
            self._unheard_since = time.monotonic()
            logger.warning("The database did not accept a report; trying again: %s", str(error).strip())
        connection.close()
        if time.monotonic() - self._heard_at > self._give_up_after:
            self._lost = f"the database could not be reached for {self._give_up_after:.0f} s: {error}"
        time.sleep(RETRY_AFTER_SECONDS)


def _saved(checkpoint: tuple[int, float] | None) -> Saved | None:
    if checkpoint is None:
        return None
    step, at = checkpoint
    return Saved(step, time.monotonic() - at)
