"""Follow a run from the command line, and execute it in this process if no worker is running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from django.db import connection
from kombu.exceptions import OperationalError

from annotation.database.outages import through_outages
from config.celery import app
from training.models import RunEvent, TrainingRun
from training.runs.process.supervise import execute_run
from training.runs.transitions import cancel_run
from training.runs.workers import QUEUE

POLL_SECONDS = 0.5
LINE_EVERY_SECONDS = 2.0
PING_SECONDS = 1.0  # a live worker answers within milliseconds
METRICS_SHOWN = 4
# The metrics for a status line, the most important first: a line shows the first METRICS_SHOWN that the run
# reports. The run's page shows all metrics.
TELLING = [
    *("loss", "heldout_loss", "accuracy", "heldout/accuracy"),
    *("objective/scores", "objective/kl", "policy/entropy_avg", "lengths/response_mean"),
    *("reward_mean", "reward_best", "mean_tokens"),
]


class _Serves(Exception):
    """Raised as soon as a worker answers that it serves the training queue."""


def worker_listens() -> bool:
    """Return whether a Celery worker is serving the training queue. The result is False if the message queue
    is not responding."""

    def look(answer: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
        if any(queue["name"] == QUEUE for served in answer.values() for queue in served):
            raise _Serves

    try:
        # Without the exception, Celery would wait for further answers until the timeout.
        app.control.inspect(timeout=PING_SECONDS, callback=look).active_queues()
    except _Serves:
        return True
    except (OperationalError, *app.connection_for_read().connection_errors):
        return False
    return False


def follow_run(*, run: TrainingRun, here: bool) -> Iterator[str]:
    """Yield status lines until the run is over; `run` is refreshed before each line. If `here` is true, this
    process supervises the run itself, and an interrupt (Ctrl-C) cancels the run."""
    supervisor = threading.Thread(target=_supervise, args=[run], daemon=False)
    if here:
        supervisor.start()
    try:
        yield from _lines(run)
    except KeyboardInterrupt:
        if here:
            cancel_run(run=run)
        raise
    finally:
        if here:
            supervisor.join()


def _supervise(run: TrainingRun) -> None:
    try:
        execute_run(run_id=run.pk)
    finally:
        connection.close()


def _lines(run: TrainingRun) -> Iterator[str]:
    said, said_at = "", 0.0

    def read() -> str:
        run.refresh_from_db()
        return _line(run)

    while True:
        line = through_outages(read)
        now = time.monotonic()
        if run.is_final:
            yield line
            return
        if line != said and now - said_at >= LINE_EVERY_SECONDS:
            said, said_at = line, now
            yield line
        time.sleep(POLL_SECONDS)


def _line(run: TrainingRun) -> str:
    parts = [f"{run.kind} {run.state}"]
    if run.state == TrainingRun.State.RUNNING:
        parts.append(f"{run.phase} {run.step}/{run.total_steps}" if run.total_steps else run.phase)
        if run.eta_seconds:
            parts.append(f"{run.eta_seconds:.0f} s left")
        newest = RunEvent.objects.filter(run=run, type=RunEvent.Type.METRICS, attempt=run.attempt)
        if (event := newest.order_by("-seq").first()) is not None:
            values = event.data["values"]
            shown = [name for name in TELLING if name in values] or sorted(values)
            parts.append(" ".join(f"{name} {values[name]:.4g}" for name in shown[:METRICS_SHOWN]))
    elif run.checkpoint_step is not None:
        parts.append(f"resumes after step {run.checkpoint_step}")
    return " · ".join(parts)
