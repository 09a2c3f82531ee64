"""The position in the queue at which an annotator's scan starts.

A scan reads the queue in order. The queue still contains tasks that the annotator has done, as long as these
tasks need answers from others. Each such task makes the scan longer. After 20,000 tasks with overlap 3, a
scan takes 43 ms. A cursor marks the position up to which no task is left for the annotator. It is a hint that
is local to this process and can be lost at any time. It must never hide a task (see :class:`Cursor`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from annotation.database.prepared import prepared_cursor
from annotation.desk.queue.facts import Facts
from annotation.desk.queue.order import BEHIND, KEY, NOT_MINE, QUEUED
from annotation.models import Project, User

# Minimum number of tasks that an annotator must have finished to get a cursor. Scanning past fewer tasks
# costs less than a cursor.
CURSOR_FROM_TURNS = 64
CURSOR_EVERY_TURNS = 16
CURSOR_SECONDS = 30.0
MAX_CURSORS = 10_000


@dataclass(frozen=True)
class Cursor:
    """The result of a query: no task before `place` in the queue was available to the annotator. In the
    query's snapshot, all transactions before `seen` had ended.

    If a task before `place` is available now, it has changed since the snapshot: it entered the queue,
    changed its position, got a slot back, or became available to the annotator again. For every such change,
    a trigger writes the transaction's number, which is `seen` or later, to the task's `moved_xid`. A scan
    therefore covers the tasks whose `moved_xid` is `seen` or later, and the queue from `place` on.
    Transaction numbers are compared only within one run of the database server, so a cursor from before a
    restart or a restore is not used.
    """

    place: tuple[object, ...]
    seen: int
    server_started: datetime
    turns: int
    made_at: float


_cursors: OrderedDict[tuple[uuid.UUID, uuid.UUID, str], Cursor] = OrderedDict()
_cursors_lock = threading.Lock()
_END: Final = {
    Project.AllocationPolicy.FIFO: (2**31 - 1, uuid.UUID(int=2**128 - 1)),
    Project.AllocationPolicy.FINISH_STARTED: (2**31 - 1, True, uuid.UUID(int=2**128 - 1)),
}


def cursor_of(project: Project, annotator: User, facts: Facts) -> Cursor | None:
    """The annotator's cursor, created or moved forward when an update is due. None if a scan from the
    beginning of the queue is cheaper."""
    if facts.turns < CURSOR_FROM_TURNS:
        return None
    policy = Project.AllocationPolicy(project.allocation_policy)
    key = (project.pk, annotator.pk, policy.value)
    with _cursors_lock:
        known = _cursors.get(key)
    if known is not None and known.server_started != facts.server_started:
        known = None
    now = time.monotonic()
    if (
        known is not None
        and 0 <= facts.turns - known.turns < CURSOR_EVERY_TURNS
        and now - known.made_at < CURSOR_SECONDS
    ):
        return known
    found = _first_free(project, annotator, policy, known)
    if found is None:
        return known
    place, seen = found
    made = Cursor(place, seen, facts.server_started, facts.turns, now)
    with _cursors_lock:
        _cursors[key] = made
        _cursors.move_to_end(key)
        while len(_cursors) > MAX_CURSORS:
            _cursors.popitem(last=False)
    return made


def _first_free(
    project: Project, annotator: User, policy: Project.AllocationPolicy, known: Cursor | None
) -> tuple[tuple[object, ...], int] | None:
    """Returns the position of the queue's first task that is open to the annotator, even if the task is
    locked; if there is no such task, returns the end of the queue. Also returns the number of the oldest
    transaction still running in the query's snapshot. Returns None if the current transaction has already
    written to the database, because the position would be wrong after a rollback."""
    with prepared_cursor() as cursor:
        cursor.execute(
            *look_ahead_statement(project=project, annotator=annotator, policy=policy, known=known)
        )
        seen, untouched, *place = cursor.fetchone()
    if not untouched:
        return None
    return (_END[policy] if place[-1] is None else tuple(place)), seen


def look_ahead_statement(
    *, project: Project, annotator: User, policy: Project.AllocationPolicy, known: Cursor | None
) -> tuple[str, dict[str, Any]]:
    """The look-ahead query's SQL and parameters. The function is separate so that a test can EXPLAIN the
    query."""
    key = KEY[policy]
    select = f"SELECT {key} FROM annotation_rankingtask t WHERE"
    free = f"{select} {QUEUED} AND {NOT_MINE}"
    params: dict[str, Any] = {"project": project.pk, "annotator": annotator.pk}
    if known is None:
        first = f"{free} ORDER BY {key} LIMIT 1"
    else:
        at = ", ".join(f"%(place{i})s" for i in range(len(known.place)))
        params |= {"seen": known.seen} | {f"place{i}": value for i, value in enumerate(known.place)}
        behind = f"{select} {BEHIND.format(key=key, place=at)} LIMIT 1"
        ahead = f"{free} AND ({key}) >= ({at}) ORDER BY {key} LIMIT 1"
        first = (
            f"WITH behind AS ({behind}) SELECT * FROM behind UNION ALL"
            f" SELECT * FROM ({ahead}) AS ahead WHERE NOT EXISTS (SELECT FROM behind)"
        )
    sql = (
        "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
        " pg_current_xact_id_if_assigned() IS NULL, first.*"
        f" FROM (SELECT) AS always LEFT JOIN ({first}) AS first ON true"
    )
    return sql, params
