"""Determine which runs are resumed automatically after their training process or worker has died.

Failures and how they are handled:

* The training process dies because of a signal, a lack of memory or a crash in native code. The supervisor
  queues the run again and claims it at once. The new attempt resumes from the newest checkpoint, or starts
  from the beginning if there is none. After MAX_TRIES claims without a new checkpoint, the supervisor fails
  the run. If memory ran out, the supervisor fails the run after MAX_TRIES_OUT_OF_MEMORY such claims, because
  another attempt would most likely fail in the same way.
* The training process can't use its GPU any more. The process queues the run again, and the supervisor claims
  it at once, as after a crash: only a new process can use the GPU again. If the GPU is no longer available,
  the new process refuses to continue on a CPU, and the run fails (process/devices.py).
* The training loop makes no progress, or exceeds its time limit. The supervisor fails the run
  (process/health.py).
* A user cancels the run. The training loop writes a checkpoint and ends. A cancelled run can be resumed, just
  like a failed run.
* The worker dies, together with the supervisor and the training process. The heartbeat stops. After
  STALE_AFTER, the sweep queues the run again. If the run has already been claimed MAX_TRIES times without a
  new checkpoint, the sweep fails the run instead.
* The database is down, hangs or can't be reached. No heartbeat is renewed, but the sweep doesn't run either.
  The sweep considers a heartbeat stale only if the sweep itself has run for STALE_AFTER without a gap.
* The message that wakes a worker is lost. The run stays queued, and the sweep wakes a worker again after
  REWAKE_AFTER.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from annotation.models import Sweep
from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs.failures import Record, record
from training.runs.folders import keep_checkpoints
from training.runs.progress.events import storable
from training.runs.transitions import (
    ENDED,
    IS_THIS_ATTEMPT,
    MAX_TRIES,
    NOT_CANCELLED,
    SPENT,
    fail_run,
    move,
)

logger = logging.getLogger(__name__)

# Twelve missed heartbeats. On a busy machine, a run can miss a few heartbeats while torch loads or the
# machine swaps. Such a run must not be treated as lost.
STALE_AFTER = timedelta(seconds=60)
SWEEP = "training runs"
# If a queued run is not claimed within REWAKE_AFTER, the sweep repeats the message that wakes a worker. If
# both messages arrive, the second message has no effect, because the run is already claimed.
REWAKE_AFTER = timedelta(seconds=120)
MAX_TRIES_OUT_OF_MEMORY = 2
# The failures that the training process itself records and after which a new process continues the run.
RESUMED = {FailureKind.DEVICE_LOST}
RESUMING = "resuming"

# Directly after an outage, all heartbeats are old. A heartbeat counts as stale only if the sweep has also run
# for STALE_AFTER without a gap.
IS_STALE = (
    "state = 'running' AND heartbeat_at < clock_timestamp() - %(stale)s "
    "AND %(since)s <= clock_timestamp() - %(stale)s"
)
INTERRUPTED = (
    "interruptions || jsonb_build_array(%(error)s::jsonb || "
    "jsonb_build_object('attempt', attempt, 'at', clock_timestamp()))"
)


def interrupt_run(*, run_id: UUID, attempt: int, error: Record, max_tries: int = MAX_TRIES) -> str | None:
    """Record that a running run's process has died, and return the new state. If a user requested
    cancellation, the run is cancelled. If the run has been claimed `max_tries` times without a new
    checkpoint, it fails. Otherwise, the run is queued again, with the cause among its interruptions. Returns
    None, and changes nothing, if the attempt is stale or has ended."""
    cancelled, again = f"NOT ({NOT_CANCELLED})", "tries < %(max_tries)s"
    moved = move(
        f"state = CASE WHEN {cancelled} THEN 'cancelled' WHEN {again} THEN 'queued' ELSE 'failed' END, "
        f"finished_at = CASE WHEN {cancelled} OR NOT {again} THEN clock_timestamp() END, "
        f"error = CASE WHEN {cancelled} OR {again} THEN NULL ELSE %(error)s::jsonb END, "
        f"interruptions = CASE WHEN {again} AND {NOT_CANCELLED} THEN {INTERRUPTED} ELSE interruptions END, "
        f"phase = CASE WHEN {again} AND {NOT_CANCELLED} THEN '{RESUMING}' ELSE phase END, "
        f"woken_at = NULL, eta_seconds = NULL, {SPENT}",
        IS_THIS_ATTEMPT,
        run=run_id,
        attempt=attempt,
        error=json.dumps(storable(error)),
        max_tries=max_tries,
    )
    return moved[0][2] if moved else None


def end_attempt(*, run_id: UUID, attempt: int, error: Record) -> str | None:
    """Record how a running run's attempt failed, and return the new state. The run is queued again if a new
    process can continue it, and fails otherwise. Returns None, and changes nothing, if the attempt is stale
    or has ended."""
    if error["kind"] in RESUMED:
        return interrupt_run(run_id=run_id, attempt=attempt, error=error)
    return TrainingRun.State.FAILED if fail_run(run_id=run_id, attempt=attempt, error=error) else None


def sweep_runs(*, stale_after: timedelta = STALE_AFTER, rewake_after: timedelta = REWAKE_AFTER) -> list[UUID]:
    """Handle the runs on which no worker is working. Returns the IDs of the runs that need a worker."""
    silence = f"no heartbeat arrived for {stale_after.total_seconds():.0f} s."
    lost = record(FailureKind.WORKER_LOST, f"The training worker was lost: {silence}")
    lost_again = record(
        FailureKind.WORKER_LOST,
        f"The run was interrupted {MAX_TRIES} times without a new checkpoint. The last time, the training "
        f"worker was lost: {silence}",
    )
    with transaction.atomic():
        since = Sweep.objects.note_pass(SWEEP)
        stale: dict[str, Any] = {"stale": stale_after, "since": since}
        cancelled = move(
            f"state = 'cancelled', {ENDED}", f"{IS_STALE} AND cancel_requested_at IS NOT NULL", **stale
        )
        failed = move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            f"{IS_STALE} AND {NOT_CANCELLED} AND tries >= %(max_tries)s",
            max_tries=MAX_TRIES,
            error=json.dumps(lost_again),
            **stale,
        )
        requeued = move(
            "state = 'queued', phase = 'waiting after a lost worker', eta_seconds = NULL, "
            f"woken_at = clock_timestamp(), interruptions = {INTERRUPTED}, {SPENT}",
            # If cancellation is requested after the statement that cancels runs, the next sweep cancels the
            # run.
            f"{IS_STALE} AND {NOT_CANCELLED}",
            error=json.dumps(lost),
            **stale,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE training_trainingrun SET woken_at = clock_timestamp() WHERE state = 'queued' AND "
                "(woken_at IS NULL OR woken_at < clock_timestamp() - make_interval(secs => %s)) RETURNING id",
                [rewake_after.total_seconds()],
            )
            unheard = [row[0] for row in cursor.fetchall()]
    for row in failed:
        logger.error("Run %s failed: its worker stopped responding %s times.", row[0], MAX_TRIES)
    for run in TrainingRun.objects.filter(pk__in=[row[0] for row in cancelled]):
        keep_checkpoints(run)
    return [row[0] for row in requeued] + unheard
