"""State changes of runs, as compare-and-set statements. Each statement changes the state, writes the state
event and sends the notification. `interruptions` handles runs whose process or worker has died.
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

from django.db import connection

from config.problems import Conflict
from training.models import TrainingRun
from training.runs.failures import Record
from training.runs.folders import keep_checkpoints
from training.runs.progress.events import CHANNEL, storable

logger = logging.getLogger(__name__)

HEARTBEAT_EVERY = timedelta(seconds=5)
# Maximum number of claims without a new checkpoint in between. A run that is interrupted often, for example
# on a preemptible machine, is resumed as long as it makes progress.
MAX_TRIES = 3
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
IS_THIS_ATTEMPT = "id = %(run)s AND attempt = %(attempt)s AND state = 'running'"
NOT_CANCELLED = "cancel_requested_at IS NULL"
# An attempt's time ends at its last heartbeat rather than at the present time, because a lost run made no
# progress after that heartbeat.
SPENT = (
    "spent_seconds = spent_seconds + greatest(0, coalesce(extract(epoch FROM heartbeat_at - started_at), 0))"
)
NO_CHECKPOINT = "checkpoint_step = NULL, checkpoint_at = NULL"
ENDED = f"finished_at = clock_timestamp(), eta_seconds = NULL, {SPENT}"


def worker_name() -> str:
    """Return a worker name that is unique to one claim (see `claim_run`)."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def claim_run(*, run_id: UUID, worker: str) -> int | None:
    """Claim a queued run and return the number of the new attempt. Returns None if another worker has the
    run, or if the run can't be claimed.

    The claim is a single UPDATE, so only one of several concurrent callers gets the run. A repeated claim
    with the same worker name returns the same attempt, because the answer to the first claim can be lost.
    """
    moved = move(
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
        move(
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
        move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            IS_THIS_ATTEMPT,
            run=run_id,
            attempt=attempt,
            error=json.dumps(storable(error)),
        )
    )


def stop_run(*, run_id: UUID, attempt: int) -> str | None:
    """Stop a running run and return the new state. If a user requested cancellation, the run becomes
    cancelled. If only the worker is stopping, the run becomes queued, and this claim is not counted. Returns
    None, and changes nothing, if the attempt is stale or has ended.

    The check and the change are a single statement, so that no request to cancel can arrive between them.
    """
    asked = "cancel_requested_at IS NOT NULL"
    moved = move(
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
    move(
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
        # If the worker was lost, no process is left to remove the run's unfinished work.
        keep_checkpoints(run)
    return run


def note_device(*, run_id: UUID, attempt: int, device: str) -> None:
    """Record the kind of device on which the attempt computes."""
    mine = TrainingRun.objects.filter(pk=run_id, attempt=attempt, state=TrainingRun.State.RUNNING)
    mine.update(device=device)


def forget_checkpoint(*, run_id: UUID, attempt: int) -> None:
    """Record that the run has no checkpoint to resume from, because the attempt has removed the
    checkpoints."""
    mine = TrainingRun.objects.filter(pk=run_id, attempt=attempt, state=TrainingRun.State.RUNNING)
    mine.update(checkpoint_step=None, checkpoint_at=None)


def requeue_finished(*, run: TrainingRun) -> None:
    """failed | cancelled → queued. The number of claims is reset. Raises Conflict if the run is in any other
    state."""
    if not move(
        "state = 'queued', tries = 0, cancel_requested_at = NULL, finished_at = NULL, error = NULL, "
        "phase = '', step = 0, total_steps = 0, woken_at = clock_timestamp()",
        "id = %(run)s AND state IN ('failed', 'cancelled')",
        run=run.id,
    ):
        run.refresh_from_db()
        raise Conflict(f"Only a failed or cancelled run can be resumed; this one is {run.state}.")


def move(changes: str, condition: str, **params: Any) -> list[tuple[UUID, int, str]]:
    """Execute one compare-and-set statement. Returns the changed rows as (run ID, attempt, new state)."""
    with connection.cursor() as cursor:
        cursor.execute(MOVE.format(changes=changes, condition=condition), {"channel": CHANNEL, **params})
        return [row[:3] for row in cursor.fetchall()]
