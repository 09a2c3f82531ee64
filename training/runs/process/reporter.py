"""The reporter of a training process: it buffers reports, and one thread writes them and sends the heartbeat.

The training loop never waits for the database, because `check` only reads two flags.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import connection

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, PrintReporter
from training.runs.progress.events import Event, LostClaim, Progress, append_events
from training.runs.transitions import HEARTBEAT_EVERY, STALE_AFTER

logger = logging.getLogger(__name__)

# The interval is not shorter, for two reasons. At commit, each write with a NOTIFY takes a lock that all runs
# share. More frequent updates would not make the run's page more useful.
WRITE_EVERY_SECONDS = 0.25
RETRY_AFTER_SECONDS = 1.0


class DatabaseReporter:
    """A training.rlhf.core.reporter.Reporter that writes to the database. Use the reporter as a context
    manager.

    At the end of the `with` block, all remaining reports are written. If the database stays unreachable,
    the sweep eventually considers this attempt lost. The attempt then gives up: `check` raises LostClaim.
    """

    def __init__(
        self,
        *,
        run_id: UUID,
        attempt: int,
        heartbeat_every: timedelta = HEARTBEAT_EVERY,
        stale_after: timedelta = STALE_AFTER,
    ) -> None:
        self._run_id = run_id
        self._attempt = attempt
        self._heartbeat_every = heartbeat_every.total_seconds()
        self._stale_after = stale_after.total_seconds()
        self._log = PrintReporter()  # standard output is the run's log
        self._wake = threading.Condition()
        self._events: list[Event] = []
        self._writing = False
        self._progress: Progress | None = None
        self._phase = ""
        self._phase_started, self._phase_first = time.monotonic(), 0
        self._closing = False
        self._stop_asked = False
        self._lost: str | None = None
        self._heard_at = time.monotonic()
        self._thread = threading.Thread(target=self._write_loop, name="run-reporter", daemon=True)

    def __enter__(self) -> DatabaseReporter:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join()

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._log.metrics(step, values)
        self._say(Event("metrics", step, {"values": {name: float(value) for name, value in values.items()}}))

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        data = {
            "prompt": [dict(message) for message in messages],
            "before": before,
            "after": after,
            "scores": {name: float(score) for name, score in scores.items()},
        }
        self._say(Event("sample", step, data))

    def progress(self, phase: str, step: int, total: int) -> None:
        now = time.monotonic()
        with self._wake:
            if phase != self._phase:
                # A resumed run can start in the middle of a phase. The rate is therefore measured from the
                # attempt's own first step.
                self._phase, self._phase_started, self._phase_first = phase, now, step
            spent, done = now - self._phase_started, step - self._phase_first
            eta = spent / done * (total - step) if done > 0 and step <= total else None
            self._progress = Progress(phase, step, total, None if eta is None else round(eta, 1))
            self._wake.notify_all()

    def flush(self) -> None:
        """Wait until every event is in the database, or until the writer has given up."""
        with self._wake:
            while (self._events or self._writing) and self._lost is None and self._thread.is_alive():
                self._wake.wait(timeout=self._heartbeat_every)

    def check(self) -> None:
        """Raise Cancelled if the run was asked to stop. Raise LostClaim if the run no longer belongs to this
        attempt."""
        if self._lost is not None:
            raise LostClaim(self._lost)
        if self._stop_asked:
            raise Cancelled("the run was asked to stop")

    def ask_to_stop(self) -> None:
        """Ask the training loop to stop. This method is safe in a signal handler, because it only sets a
        flag."""
        self._stop_asked = True

    def _say(self, event: Event) -> None:
        with self._wake:
            self._events.append(event)
            self._wake.notify_all()

    def _write_loop(self) -> None:
        try:
            while self._lost is None and not self._write_once():
                time.sleep(WRITE_EVERY_SECONDS)
        finally:
            connection.close()

    def _write_once(self) -> bool:
        """Wait for reports or until the next heartbeat is due, and write to the database. Returns True when
        the reporter is closing and everything is written."""
        with self._wake:
            self._wake.wait_for(
                lambda: self._closing or self._events or self._progress, timeout=self._heartbeat_every
            )
            closing, events, progress = self._closing, self._events, self._progress
            self._events, self._progress, self._writing = [], None, True
        if progress:
            data = {"phase": progress.phase, "total_steps": progress.total_steps}
            events = [*events, Event("progress", progress.step, data | {"eta_seconds": progress.eta_seconds})]
        try:
            # After a request to cancel, the phase is "stopping". Later progress reports must not overwrite
            # this phase.
            asked = append_events(
                run_id=self._run_id,
                attempt=self._attempt,
                events=events,
                progress=None if self._stop_asked else progress,
            )
        except LostClaim as error:
            self._lost = str(error)
        except DatabaseTrouble as error:
            self._unheard(error, events, closing=closing)
            return False
        else:
            self._heard_at = time.monotonic()
            self._stop_asked = self._stop_asked or asked
            with self._wake:
                self._writing = False
                self._wake.notify_all()
        return closing

    def _unheard(self, error: DatabaseTrouble, events: list[Event], *, closing: bool) -> None:
        """Handle a failed write: keep the events in order and retry for a limited time."""
        # Without a traceback, because this repeats every second until the database is back.
        logger.warning("The database did not accept a report: %s", error)
        connection.close()
        with self._wake:
            self._events, self._writing = [*events, *self._events], False
        if time.monotonic() - self._heard_at > self._stale_after:
            self._lost = f"the database could not be reached for {self._stale_after:.0f} s: {error}"
        time.sleep(RETRY_AFTER_SECONDS)
