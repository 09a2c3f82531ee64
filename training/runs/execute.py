"""The life of a run, as compare-and-set statements. Each moves the state, writes the state event and notifies
at once.

What happens when something dies, in one place:

* the training process (a signal, out of memory, a crash): its supervisor fails the run at once with the
  cause; trying again would most likely only repeat it. An admin may resume it.
* the worker, and with it the supervisor and the process: nobody renews the heartbeat; after STALE_AFTER the
  sweep puts the run back in the queue, at most MAX_TRIES claims in all, and then fails it.
* the message: the run stays queued; the sweep wakes a worker again after REWAKE_AFTER.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from config.problems import Conflict
from training.models import TrainingRun
from training.rlhf.core.failures import FailureKind
from training.runs.failures import Record, record
from training.runs.folders import remove_attempts
from training.runs.progress.events import CHANNEL, storable

HEARTBEAT_EVERY = timedelta(seconds=5)
# Twelve missed heartbeats. A busy machine may miss a few (loading torch, a swapping neighbour) and must not
# lose its run.
STALE_AFTER = timedelta(seconds=60)
# A message that was lost costs at most this wait; duplicates find the run claimed and return.
REWAKE_AFTER = timedelta(seconds=120)
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
IS_STALE = "state = 'running' AND heartbeat_at < clock_timestamp() - %(stale)s"
IS_THIS_ATTEMPT = "id = %(run)s AND attempt = %(attempt)s AND state = 'running'"
NOT_CANCELLED = "cancel_requested_at IS NULL"
ENDED = "finished_at = clock_timestamp(), eta_seconds = NULL"


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def claim_run(*, run_id: UUID, worker: str, stale_after: timedelta = STALE_AFTER) -> int | None:
    """Take the run and return the new attempt's number; None when someone else has it or it isn't to be run.

    One UPDATE: of any number of callers at the same moment, one gets the run.
    """
    moved = _move(
        "state = 'running', attempt = attempt + 1, tries = tries + 1, worker = %(worker)s, "
        "heartbeat_at = clock_timestamp(), started_at = clock_timestamp(), finished_at = NULL, "
        "phase = 'starting', step = 0, total_steps = 0, eta_seconds = NULL, error = NULL",
        f"id = %(run)s AND {NOT_CANCELLED} AND tries < %(max_tries)s AND (state = 'queued' OR ({IS_STALE}))",
        run=run_id,
        worker=worker,
        stale=stale_after,
        max_tries=MAX_TRIES,
    )
    return moved[0][1] if moved else None


def succeed_run(*, run_id: UUID, attempt: int, result: Mapping[str, Any]) -> bool:
    """running → succeeded. Locks the run until the caller's transaction ends; False when the attempt is
    stale."""
    return bool(
        _move(
            f"state = 'succeeded', result = %(result)s::jsonb, {ENDED}",
            IS_THIS_ATTEMPT,
            run=run_id,
            attempt=attempt,
            result=json.dumps(storable(result)),
        )
    )


def fail_run(*, run_id: UUID, attempt: int, error: Record) -> bool:
    """running → failed with its cause; False (and nothing changed) when the attempt is stale or over."""
    return bool(
        _move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            IS_THIS_ATTEMPT,
            run=run_id,
            attempt=attempt,
            error=json.dumps(storable(error)),
        )
    )


def stop_run(*, run_id: UUID, attempt: int) -> str | None:
    """running → cancelled when the run was asked to stop, else (its worker is going away) → queued for the
    next one, without using up a try. The new state; None, and nothing changed, when the attempt is stale or
    over.

    One statement, so that a request to cancel can't arrive between the question and the answer.
    """
    asked = "cancel_requested_at IS NOT NULL"
    moved = _move(
        f"state = CASE WHEN {asked} THEN 'cancelled' ELSE 'queued' END, "
        f"finished_at = CASE WHEN {asked} THEN clock_timestamp() END, "
        f"phase = CASE WHEN {asked} THEN phase ELSE '' END, "
        f"tries = tries - ({asked} IS FALSE)::int, woken_at = NULL, eta_seconds = NULL",
        IS_THIS_ATTEMPT,
        run=run_id,
        attempt=attempt,
    )
    return moved[0][2] if moved else None


def cancel_run(*, run: TrainingRun) -> TrainingRun:
    """A waiting run is cancelled at once; a running one is asked to stop at its next step boundary.

    Asking twice is asking once. A run that is over is refused as a Conflict.
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
        raise Conflict(f"The run has already {run.state}; there is nothing left to cancel.")
    if run.state == TrainingRun.State.CANCELLED:
        remove_attempts(run)  # of a lost worker; nobody else will
    return run


def requeue_finished(*, run: TrainingRun) -> None:
    """failed | cancelled → queued, with all its tries. Any other state is a Conflict."""
    if not _move(
        "state = 'queued', tries = 0, cancel_requested_at = NULL, finished_at = NULL, error = NULL, "
        "phase = '', step = 0, total_steps = 0, woken_at = clock_timestamp()",
        "id = %(run)s AND state IN ('failed', 'cancelled')",
        run=run.id,
    ):
        run.refresh_from_db()
        raise Conflict(f"Only a failed or cancelled run can be resumed; this one is {run.state}.")


def sweep_runs(*, stale_after: timedelta = STALE_AFTER, rewake_after: timedelta = REWAKE_AFTER) -> list[UUID]:
    """Deal with the runs that nobody is working on any more; return the ids for which a worker must be
    woken."""
    lost = record(
        FailureKind.WORKER_LOST,
        f"The training worker disappeared {MAX_TRIES} times, each time without a heartbeat for "
        f"{stale_after.total_seconds():.0f} s.",
    )
    with transaction.atomic():
        cancelled = _move(
            f"state = 'cancelled', {ENDED}",
            f"{IS_STALE} AND cancel_requested_at IS NOT NULL",
            stale=stale_after,
        )
        _move(
            f"state = 'failed', error = %(error)s::jsonb, {ENDED}",
            f"{IS_STALE} AND {NOT_CANCELLED} AND tries >= %(max_tries)s",
            stale=stale_after,
            max_tries=MAX_TRIES,
            error=json.dumps(lost),
        )
        requeued = _move(
            "state = 'queued', phase = 'waiting after a lost worker', eta_seconds = NULL, "
            "woken_at = clock_timestamp()",
            f"{IS_STALE} AND {NOT_CANCELLED}",  # asked to stop since the first statement: the next sweep's
            stale=stale_after,
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE training_trainingrun SET woken_at = clock_timestamp() WHERE state = 'queued' AND "
                "(woken_at IS NULL OR woken_at < clock_timestamp() - make_interval(secs => %s)) RETURNING id",
                [rewake_after.total_seconds()],
            )
            unheard = [row[0] for row in cursor.fetchall()]
    for run in TrainingRun.objects.filter(pk__in=[row[0] for row in cancelled]):
        remove_attempts(run)
    return [row[0] for row in requeued] + unheard


def _move(changes: str, condition: str, **params: Any) -> list[tuple[UUID, int, str]]:
    """One compare-and-set; the rows it moved as (run id, attempt, new state)."""
    with connection.cursor() as cursor:
        cursor.execute(MOVE.format(changes=changes, condition=condition), {"channel": CHANNEL, **params})
        return [row[:3] for row in cursor.fetchall()]
