"""State changes of runs, as compare-and-set statements. Each statement changes the state, writes the state
event and sends the notification.

Failures and how they are handled:

* The training process dies because of a signal, a lack of memory or a crash in native code. The supervisor
  queues the run again and claims it at once. The new attempt resumes from the newest checkpoint, or starts
  from the beginning if there is none. After MAX_TRIES claims, the supervisor fails the run. If memory ran
  out, it fails the run after MAX_TRIES_OUT_OF_MEMORY claims, because another attempt would most likely fail
  in the same way.
* The training loop makes no progress, or exceeds its time limit. The supervisor fails the run
  (process/health.py).
* A user cancels the run. The training loop writes a checkpoint and ends. A cancelled run can be resumed, just
  like a failed run.
* The worker dies, together with the supervisor and the training process. The heartbeat stops. After
  STALE_AFTER, the sweep queues the run again. If the run has already been claimed MAX_TRIES times, the sweep
  fails the run instead.
* The database is down, hangs or can't be reached. No heartbeat is renewed, but the sweep doesn't run either.
  The sweep considers a heartbeat stale only if the sweep itself has run for STALE_AFTER without a gap.
* The message that wakes a worker is lost. The run stays queued, and the sweep wakes a worker again after
  REWAKE_AFTER.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from annotation.models import Sweep
from config.problems import Conflict
from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs.failures import Record, record
from training.runs.folders import keep_checkpoints
from training.runs.progress.events import CHANNEL, storable

logger = logging.getLogger(__name__)

HEARTBEAT_EVERY = timedelta(seconds=5)
# Twelve missed heartbeats. On a busy machine, a run can miss a few heartbeats while torch loads or the
# machine swaps. The run must not be treated as lost in this case.
STALE_AFTER = timedelta(seconds=60)
SWEEP = "training runs"
# If a queued run is not claimed within this time, the sweep repeats the message that wakes a worker. If both
# messages arrive, the second message has no effect, because the run is already claimed.
REWAKE_AFTER = timedelta(seconds=120)
MAX_TRIES = 3  # claims since the launch, so a run is resumed automatically at most twice
MAX_TRIES_OUT_OF_MEMORY = 2
RESUMING = "resuming"

MOVE = """
WITH moved AS (
    UPDATE training_trainingrun SET {changes}, last_seq = last_seq + 1
    WHERE {condition}
    RETURNING id, attempt, last_seq, step, state
), told AS (
    INSERT INTO training_runevent (run_id, seq, attempt, type, step, data)
    SELECT id, last_seq, attempt, 'state', step, jsonb_build_object('state', state) FROM moved
)
SELECT id, attempt, state, pg_notify(%(channel)s, id::text) FROM moved
"""
# Directly after an outage, all heartbeats are old. A heartbeat counts as stale only if the sweep has also run
# for STALE_AFTER without a gap.
IS_STALE = (
    "state = 'running' AND heartbeat_at < clock_timestamp() - %(stale)s "
    "AND %(since)s <= clock_timestamp() - %(stale)s"
)
IS_THIS_ATTEMPT = "id = %(run)s AND attempt = %(attempt)s AND state = 'running'"
NOT_CANCELLED = "cancel_requested_at IS NULL"
# Uses the time of the last heartbeat instead of the current time, because a lost run has not been running
# since its last heartbeat.
SPENT = (
    "spent_seconds = spent_seconds + greatest(0, coalesce(extract(epoch FROM heartbeat_at - started_at), 0))"
)
NO_CHECKPOINT = "checkpoint_step = NULL, checkpoint_at = NULL"
ENDED = f"finished_at = clock_timestamp(), eta_seconds = NULL, {SPENT}"
INTERRUPTED = (
    "interruptions || jsonb_build_array(%(error)s::jsonb || "
    "jsonb_build_object('attempt', attempt, 'at', clock_timestamp()))"
)


def worker_name() -> str:
    """A new name for each claim (see `claim_run`)."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def claim_run(*, run_id: UUID, worker: str) -> int | None:
    """Claim a queued run and return the number of the new attempt. Returns None if another worker has the
    run, or if the run can't be claimed.

    The claim is a single UPDATE, so only one of several concurrent callers gets the run. A repeated claim
    with the same worker name returns the same attempt, because the answer to the first claim can be lost.
    """
    moved = _move(
        "state = 'running', attempt = attempt + 1, tries = tries + 1, worker = %(worker)s, "
        "heartbeat_at = clock_timestamp(), progressed_at = clock_timestamp(), "
        "started_at = clock_timestamp(), finished_at = NULL, "
        "phase = 'starting', step = 0, total_steps = 0, eta_seconds = NULL, error = NULL, reported = 0",
        f"id = %(run)s AND {NOT_CANCELLED} AND tries < %(max_tries)s AND state = 'queued'",
        run=run_id,
        worker=worker,
        max_tries=MAX_TRIES,
    )
    if moved:
        return moved[0][1]
    mine = TrainingRun.objects.filter(pk=run_id, state=TrainingRun.State.RUNNING, worker=worker)
    return mine.values_list("attempt", flat=True).first()


def succeed_run(*, run_id: UUID, attempt: int, result: Mapping[str, Any]) -> bool:
    """running → succeeded. Locks the run until the caller's transaction ends. Returns False if the attempt is
    stale."""
    return bool(
        _move(
            f"state = 'succeeded', result = %(result)s::jsonb, {NO_CHECKPOINT}, {ENDED}",
            IS_THIS_ATTEMPT,
            run=run_id,
            attempt=attempt,
            result=json.dumps(storable(result)),
        )
    )


def fail_run(*, run_id: UUID, attempt: int, error: Record) -> bool:
    """running → failed, with the cause. Returns False, and changes nothing, if the attempt is stale
    or has ended."""
    return bool(
        _move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            IS_THIS_ATTEMPT,
            run=run_id,
            attempt=attempt,
            error=json.dumps(storable(error)),
        )
    )


def interrupt_run(*, run_id: UUID, attempt: int, error: Record, max_tries: int = MAX_TRIES) -> str | None:
    """Record that a running run's process has died, and return the new state. The run is queued again, with
    the cause among its interruptions. The run fails if it has been claimed `max_tries` times, and is
    cancelled if a user requested this. Returns None, and changes nothing, if the attempt is stale or has
    ended."""
    cancelled, again = f"NOT ({NOT_CANCELLED})", "tries < %(max_tries)s"
    moved = _move(
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


def stop_run(*, run_id: UUID, attempt: int) -> str | None:
    """Stop a running run and return the new state. If a user requested cancellation, the run becomes
    cancelled. If only the worker is stopping, the run becomes queued, and this try is not counted. Returns
    None, and changes nothing, if the attempt is stale or has ended.

    The check and the change are a single statement, so that no request to cancel can arrive between them.
    """
    asked = "cancel_requested_at IS NOT NULL"
    moved = _move(
        f"state = CASE WHEN {asked} THEN 'cancelled' ELSE 'queued' END, "
        f"finished_at = CASE WHEN {asked} THEN clock_timestamp() END, "
        f"phase = CASE WHEN {asked} THEN phase ELSE '' END, "
        f"tries = tries - ({asked} IS FALSE)::int, woken_at = NULL, eta_seconds = NULL, {SPENT}",
        IS_THIS_ATTEMPT,
        run=run_id,
        attempt=attempt,
    )
    return moved[0][2] if moved else None


def cancel_run(*, run: TrainingRun) -> TrainingRun:
    """Cancel a queued run at once, or ask a running run to stop at its next step. The run keeps its newest
    checkpoint and can be resumed.

    Idempotent. Raises Conflict if the run is over.
    """
    waiting = "state = 'queued'"
    _move(
        f"state = CASE WHEN {waiting} THEN 'cancelled' ELSE state END, "
        f"finished_at = CASE WHEN {waiting} THEN clock_timestamp() END, "
        f"cancel_requested_at = CASE WHEN {waiting} THEN NULL ELSE clock_timestamp() END, "
        f"phase = CASE WHEN {waiting} THEN phase ELSE 'stopping' END",
        f"id = %(run)s AND ({waiting} OR (state = 'running' AND cancel_requested_at IS NULL))",
        run=run.id,
    )
    run.refresh_from_db()
    if run.is_final and run.state != TrainingRun.State.CANCELLED:
        raise Conflict(f"The run has already {run.state}; it can't be cancelled.")
    if run.state == TrainingRun.State.CANCELLED:
        keep_checkpoints(run)  # if the worker was lost, no process is left to remove the other files
    return run


def forget_checkpoint(*, run_id: UUID, attempt: int) -> None:
    """Record that the run would start from the beginning, because the attempt has removed the
    checkpoints."""
    mine = TrainingRun.objects.filter(pk=run_id, attempt=attempt, state=TrainingRun.State.RUNNING)
    mine.update(checkpoint_step=None, checkpoint_at=None)


def requeue_finished(*, run: TrainingRun) -> None:
    """failed | cancelled → queued, with the number of tries reset. Raises Conflict in any other state."""
    if not _move(
        "state = 'queued', tries = 0, cancel_requested_at = NULL, finished_at = NULL, error = NULL, "
        "phase = '', step = 0, total_steps = 0, woken_at = clock_timestamp()",
        "id = %(run)s AND state IN ('failed', 'cancelled')",
        run=run.id,
    ):
        run.refresh_from_db()
        raise Conflict(f"Only a failed or cancelled run can be resumed; this one is {run.state}.")


def sweep_runs(*, stale_after: timedelta = STALE_AFTER, rewake_after: timedelta = REWAKE_AFTER) -> list[UUID]:
    """Handle the runs on which no worker is working. Returns the IDs of the runs that need a worker."""
    silence = f"without a heartbeat for {stale_after.total_seconds():.0f} s."
    lost = record(FailureKind.WORKER_LOST, f"The training worker was lost, {silence}")
    lost_again = record(
        FailureKind.WORKER_LOST,
        f"The run was interrupted {MAX_TRIES} times. The last time, the training worker was lost, {silence}",
    )
    with transaction.atomic():
        since = Sweep.objects.note_pass(SWEEP)
        stale: dict[str, Any] = {"stale": stale_after, "since": since}
        cancelled = _move(
            f"state = 'cancelled', {ENDED}", f"{IS_STALE} AND cancel_requested_at IS NOT NULL", **stale
        )
        failed = _move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            f"{IS_STALE} AND {NOT_CANCELLED} AND tries >= %(max_tries)s",
            max_tries=MAX_TRIES,
            error=json.dumps(lost_again),
            **stale,
        )
        requeued = _move(
            "state = 'queued', phase = 'waiting after a lost worker', eta_seconds = NULL, "
            f"woken_at = clock_timestamp(), interruptions = {INTERRUPTED}, {SPENT}",
            # If cancellation is requested after the first of these statements, the next sweep cancels the
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
        logger.error("Run %s failed: its worker disappeared %s times.", row[0], MAX_TRIES)
    for run in TrainingRun.objects.filter(pk__in=[row[0] for row in cancelled]):
        keep_checkpoints(run)
    return [row[0] for row in requeued] + unheard


def _move(changes: str, condition: str, **params: Any) -> list[tuple[UUID, int, str]]:
    """Execute one compare-and-set statement. Returns the changed rows as (run ID, attempt, new state)."""
    with connection.cursor() as cursor:
        cursor.execute(MOVE.format(changes=changes, condition=condition), {"channel": CHANNEL, **params})
        return [row[:3] for row in cursor.fetchall()]
