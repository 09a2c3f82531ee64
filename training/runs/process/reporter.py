"""The voice of a training process: buffers what the loop says, and one thread writes it down and keeps the
heart beating.

The loop never waits for the database: `check` reads two flags.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import connection

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled, PrintReporter
from training.runs.execute import HEARTBEAT_EVERY, STALE_AFTER
from training.runs.progress.events import Event, LostClaim, Progress, append_events

# NOTIFYs of all runs queue behind one lock at commit, and a browser draws no faster.
WRITE_EVERY_SECONDS = 0.25
RETRY_AFTER_SECONDS = 1.0


class DatabaseReporter:
    """A training.rlhf.core.reporter.Reporter whose listener is the database. Use it as a context manager.

    Leaving the block writes everything that was said. If the database can't be reached for as long as it
    takes others to consider this attempt dead, the attempt considers itself dead too: `check` raises
    LostClaim.
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
                # A run that goes on from a checkpoint begins its phase in the middle.
                self._phase, self._phase_started, self._phase_first = phase, now, step
            spent, done = now - self._phase_started, step - self._phase_first
            eta = spent / done * (total - step) if done > 0 and step <= total else None
            self._progress = Progress(phase, step, total, None if eta is None else round(eta, 1))
            self._wake.notify_all()

    def flush(self) -> None:
        """Wait until the database has every event, or nobody is left to bring it there."""
        with self._wake:
            while (self._events or self._writing) and self._lost is None and self._thread.is_alive():
                self._wake.wait(timeout=self._heartbeat_every)

    def check(self) -> None:
        """Raise Cancelled when the run was asked to stop, LostClaim when it isn't this attempt's any more."""
        if self._lost is not None:
            raise LostClaim(self._lost)
        if self._stop_asked:
            raise Cancelled("the run was asked to stop")

    def ask_to_stop(self) -> None:
        """Safe in a signal handler: only sets a flag."""
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
        """Wait for something to say or for the next heartbeat, and write it; True when all is said and
        closing."""
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
            # The run's phase shows "stopping" from the request on; the loop's last words must not hide that.
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
        """The database didn't take it: keep the words in order and try again, but not for ever."""
        sys.stderr.write(f"the database did not take a report: {error}\n")
        connection.close()
        with self._wake:
            self._events, self._writing = [*events, *self._events], False
        if time.monotonic() - self._heard_at > self._stale_after:
            self._lost = f"the database was not reachable for {self._stale_after:.0f} s: {error}"
        time.sleep(RETRY_AFTER_SECONDS)
