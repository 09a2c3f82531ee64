"""Events of a run: fenced in SQL, numbered without gaps, and announced in the same transaction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

# The NOTIFY channel. The payload, limited to 8000 bytes, is only the run's ID; listeners read the events from
# the table.
CHANNEL = "training_run"


class LostClaim(Exception):
    """Raised if another attempt owns the run or the run is no longer running: this attempt must stop
    writing."""


@dataclass(frozen=True)
class Event:
    type: str
    step: int
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """If `phase`, `step` or `total_steps` is None, the run's value does not change."""

    phase: str | None
    step: int | None
    total_steps: int | None
    eta_seconds: float | None


@dataclass(frozen=True)
class Saved:
    """A checkpoint after step `step`, saved `seconds_ago` seconds ago."""

    step: int
    seconds_ago: float


# One statement checks the attempt, renews the heartbeat and numbers the events. The statement locks the run's
# row. The lock has two effects: a later claim and this write can't both succeed, and event numbers are
# assigned in commit order. A checkpoint at a later step than all earlier ones shows that the attempt made
# progress, so the earlier claims no longer count as tries. `is_new` is false for a batch that is already
# stored. A writer that got no answer sends such a batch again.
APPEND = """
WITH mine AS (
    SELECT id, %(batch)s::int IS NULL OR reported < %(batch)s::int AS is_new
    FROM training_trainingrun WHERE id = %(run)s AND attempt = %(attempt)s AND state = 'running'
    FOR NO KEY UPDATE
), live AS (
    UPDATE training_trainingrun AS run
    SET heartbeat_at = clock_timestamp(),
        progressed_at = clock_timestamp() - make_interval(secs => %(idle)s),
        reported = greatest(reported, %(batch)s::int),
        last_seq = last_seq + CASE WHEN is_new THEN %(count)s ELSE 0 END,
        phase = coalesce(%(phase)s, phase),
        step = coalesce(%(step)s, step),
        total_steps = coalesce(%(total)s, total_steps),
        eta_seconds = CASE WHEN %(phase)s::text IS NULL THEN eta_seconds ELSE %(eta)s END,
        tries = CASE WHEN %(saved)s > coalesce(checkpoint_step, -1) THEN 1 ELSE tries END,
        checkpoint_step = coalesce(%(saved)s, checkpoint_step),
        checkpoint_at = coalesce(clock_timestamp() - make_interval(secs => %(saved_ago)s), checkpoint_at)
    FROM mine WHERE run.id = mine.id
    RETURNING run.id, attempt, last_seq, cancel_requested_at, is_new
), said AS (
    INSERT INTO training_runevent (run_id, seq, attempt, type, step, data)
    SELECT live.id, live.last_seq - %(count)s + event.number, live.attempt, event.type, event.step, event.data
    FROM live, jsonb_to_recordset(%(events)s::jsonb) AS event(number bigint, type text, step int, data jsonb)
    WHERE is_new
)
SELECT cancel_requested_at IS NOT NULL,
       CASE WHEN %(count)s > 0 THEN pg_notify(%(channel)s, id::text) END
FROM live
"""


def append_events(
    *,
    run_id: UUID,
    attempt: int,
    events: Sequence[Event] = (),
    progress: Progress | None = None,
    saved: Saved | None = None,
    idle_seconds: float = 0.0,
    batch: int | None = None,
) -> bool:
    """Write this attempt's events, progress and newest checkpoint, and renew the run's heartbeat. Returns
    True if the run was asked to stop.

    `idle_seconds` is the time since the training loop last made progress. `batch` numbers an attempt's writes
    from 1: events of a batch that is already stored are not stored again.

    Raises LostClaim, and writes nothing, unless the run is running and `attempt` is the run's newest claim.
    """
    rows = [
        {"number": number, "type": event.type, "step": event.step, "data": storable(event.data)}
        for number, event in enumerate(events, start=1)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            APPEND,
            {
                "run": run_id,
                "attempt": attempt,
                "count": len(rows),
                "events": json.dumps(rows),
                "phase": progress.phase if progress else None,
                "step": progress.step if progress else None,
                "total": progress.total_steps if progress else None,
                "eta": progress.eta_seconds if progress else None,
                "saved": saved.step if saved else None,
                "saved_ago": saved.seconds_ago if saved else None,
                "idle": idle_seconds,
                "batch": batch,
                "channel": CHANNEL,
            },
        )
        row = cursor.fetchone()
    if row is None:
        raise LostClaim(f"attempt {attempt} of run {run_id} has been replaced or ended")
    return bool(row[0])


def storable(value: Any) -> Any:
    """Return `value` in a form that jsonb accepts. JSON has no NaN and no infinity. Such numbers are removed
    from mappings, and become null in lists. NUL characters and unpaired surrogates, which Postgres refuses,
    become the replacement character."""
    if isinstance(value, Mapping):
        return {str(key): storable(item) for key, item in value.items() if not _not_finite(item)}
    if isinstance(value, (list, tuple)):
        return [None if _not_finite(item) else storable(item) for item in value]
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return value


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
