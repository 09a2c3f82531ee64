"""The claim's SQL: what an annotator is given next, picked and leased in one statement.

Everything here runs under the annotator's desk lock (:func:`lock_desk`), so an annotator's tabs take turns
and what is counted for caps stays true until the lease is written. Annotators don't wait for each other: the
pick passes over tasks that somebody else is claiming at this moment.

A queue is walked in its order past the annotator's own tasks that still have slots for others. That walk
grows with what they have done (43 ms after 20,000 tasks of overlap 3), so a cursor remembers how far
everything is theirs. It is a hint of this process, lost at any time, and it must never hide a task: see
:class:`Cursor`.
"""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Final, NamedTuple

from annotation.database.acting import TELL_ACTOR, actor_told
from annotation.database.prepared import columns, instance, prepared_cursor
from annotation.ids import uuid7
from annotation.models import Assignment, Project, RankingTask, User

# A walk past this many own tasks costs less than looking after a cursor.
CURSOR_FROM_TURNS = 64
CURSOR_EVERY_TURNS = 16
CURSOR_SECONDS = 30.0
MAX_CURSORS = 10_000

_KEY: Final = {
    Project.AllocationPolicy.FIFO: "t.priority * -1, t.id",
    Project.AllocationPolicy.FINISH_STARTED: "t.priority * -1, (t.open_slots = t.overlap), t.id",
}
_QUEUED = "t.project_id = %(project)s AND t.state = 'open' AND t.open_slots > 0 AND NOT t.reserved"
# A scalar subquery: NOT EXISTS turns into a scan of all assignments while statistics are stale (102 against
# 260 claims/s). Tasks whose lease this annotator let run out or gave back are open to them again.
# COALESCE, because the planner takes it to hold for half of the rows: of "… IS NULL" it thinks 1 in 200, and
# then sorts the whole of a queue of 1,000 rather than read the first of its index.
_NOT_MINE = """COALESCE((SELECT false FROM annotation_assignment a
            WHERE a.task_id = t.id AND a.annotator_id = %(annotator)s
              AND a.state NOT IN ('expired', 'released') LIMIT 1), true)"""
_LOCKED = "LIMIT 1 FOR NO KEY UPDATE OF t {skip_locked}"

# Each pick gives one row (id, attempt), or none.
_FROM_QUEUE = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE {_QUEUED} AND {_NOT_MINE}
     ORDER BY {{key}} {_LOCKED}
)"""
# What moved since the cursor was set: few rows, by their own index. A prepared statement is planned without
# knowing that they are few, and would walk the queue up to the cursor if anything here were in its order.
_BEHIND = f"""{_QUEUED} AND t.moved_xid >= %(seen)s AND (({{key}}) < ({{place}})) IS TRUE AND {_NOT_MINE}
     ORDER BY ROW({{key}})"""
# All of `behind` comes before all of `ahead`.
_FROM_CURSOR = f"""
WITH behind AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE {_BEHIND} {_LOCKED}
), ahead AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE NOT EXISTS (SELECT FROM behind) AND {_QUEUED} AND ({{key}}) >= ({{place}}) AND {_NOT_MINE}
     ORDER BY {{key}} {_LOCKED}
), pick AS (
    SELECT * FROM behind UNION ALL SELECT * FROM ahead
)"""
_FROM_RESERVED = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_reservation r JOIN annotation_rankingtask t ON t.id = r.task_id
     WHERE r.project_id = %(project)s AND r.annotator_id = %(annotator)s AND r.open
       AND t.state = 'open' AND t.open_slots > 0 AND {_NOT_MINE}
     ORDER BY r.id {_LOCKED}
)"""
# What they put off, longest ago first, and only where a slot is left.
_FROM_PUT_OFF = f"""
WITH pick AS (
    SELECT t.id, mine.attempt
      FROM annotation_assignment mine JOIN annotation_rankingtask t ON t.id = mine.task_id
     WHERE mine.project_id = %(project)s AND mine.annotator_id = %(annotator)s
       AND mine.state = 'skipped' AND mine.skip_way = 'me' AND mine.attempt = 0
       AND t.state = 'open' AND (t.open_slots > 0 OR t.kind <> 'ranking')
       AND (NOT t.reserved OR EXISTS (SELECT FROM annotation_reservation r
                                       WHERE r.task_id = t.id AND r.annotator_id = %(annotator)s))
     ORDER BY mine.skipped_at, mine.id {_LOCKED}
)"""
# Checks have no slots and are not locked. Their order hangs on the annotator, so that nobody can be told
# which of their tasks will be one.
_FROM_CHECKS = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE t.project_id = %(project)s AND t.kind = %(kind)s AND t.state = 'open' AND {_NOT_MINE}
     ORDER BY md5(concat(%(seed)s::text, %(annotator)s::text, t.id)) LIMIT 1
)"""
# In each attempt `tasks` of the qualification tasks, or all. First those that earlier attempts gave out least
# often: practice has told the right answers of what was answered. What was put off comes last.
_FROM_QUALIFICATION = """
WITH pick AS (
    SELECT t.id, %(attempt)s AS attempt FROM annotation_rankingtask t
      LEFT JOIN annotation_assignment mine
        ON mine.task_id = t.id AND mine.annotator_id = %(annotator)s AND mine.attempt = %(attempt)s
     WHERE t.project_id = %(project)s AND t.kind = 'qualification' AND t.state = 'open'
       AND (mine.id IS NULL OR mine.state IN ('expired', 'released')
            OR mine.state = 'skipped' AND mine.skip_way = 'me')
       AND (mine.state = 'skipped' OR %(tasks)s::int IS NULL OR %(tasks)s::int > (
             SELECT count(*)
               FROM annotation_assignment had JOIN annotation_rankingtask q ON q.id = had.task_id
              WHERE had.project_id = %(project)s AND had.annotator_id = %(annotator)s
                AND had.attempt = %(attempt)s AND had.state NOT IN ('expired', 'released')
                -- Put off and closed since, it never comes back: another takes its place.
                AND (had.state <> 'skipped' OR had.skip_way <> 'me' OR q.state = 'open')))
     ORDER BY (mine.state = 'skipped') IS TRUE,
              (SELECT count(*) FROM annotation_assignment earlier
                WHERE earlier.task_id = t.id AND earlier.annotator_id = %(annotator)s
                  AND earlier.attempt BETWEEN 1 AND %(attempt)s - 1
                  AND earlier.state NOT IN ('expired', 'released')),
              md5(concat(%(seed)s::text, %(annotator)s::text, t.id)) LIMIT 1
)"""
# Responses are shown in an order that hangs on the task, the annotator and the attempt alone, so that it is
# the same after a reload and unlike from person to person.
_LEASE = f"""
INSERT INTO annotation_assignment AS a (
    id, task_id, project_id, annotator_id, attempt, place, state, token, shown_order, leased_at, expires_at,
    draft_version, skip_reason, idempotency_key, answer_digest)
SELECT %(id)s, pick.id, %(project)s, %(annotator)s, pick.attempt, %(free_place)s, 'leased', %(token)s,
       (SELECT array_agg(s.response_id ORDER BY md5(concat(
                   pick.id, %(annotator)s::uuid, s.response_id, nullif(pick.attempt, 0))))
          FROM annotation_taskresponse s WHERE s.task_id = pick.id),
       clock_timestamp(), now() + make_interval(secs => %(lease)s), 0, '', '', ''
  FROM pick
ON CONFLICT (task_id, annotator_id, attempt) DO UPDATE SET
    state = 'leased', token = EXCLUDED.token, place = EXCLUDED.place, skip_way = '', skipped_at = NULL,
    leased_at = EXCLUDED.leased_at, expires_at = EXCLUDED.expires_at
WHERE a.state IN ('expired', 'released') OR a.state = 'skipped' AND a.skip_way = 'me'
RETURNING {columns(Assignment, "a")}
"""

_FACTS = """
SELECT m.state, m.paused_reason, m.role, m.qualified_at IS NOT NULL, m.qualification_attempt,
       m.extra_attempts,
       COALESCE(d.answered, 0), COALESCE(d.skipped, 0),
       CASE WHEN d.day = (now() AT TIME ZONE 'UTC')::date THEN d.answered_on_day ELSE 0 END,
       ARRAY(SELECT a.place FROM annotation_assignment a
              WHERE a.project_id = p.id AND a.annotator_id = u.id AND a.state = 'leased'
              ORDER BY a.leased_at, a.id),
       EXISTS (SELECT FROM annotation_reservation r
                WHERE r.project_id = p.id AND r.annotator_id = u.id AND r.open),
       pg_postmaster_start_time(), p.state
  FROM annotation_project AS p CROSS JOIN (VALUES (%(annotator)s::uuid)) AS u (id)
  LEFT JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = u.id
  LEFT JOIN annotation_desk d ON d.project_id = p.id AND d.annotator_id = u.id
 WHERE p.id = %(project)s
"""


class Facts(NamedTuple):
    """What decides about the next task of one annotator. The first six are None for an admin who is no
    member. `places` are those of the open leases, the current one's first."""

    member_state: str | None
    paused_reason: str | None
    role: str | None
    qualified: bool | None
    attempt: int | None
    extra_attempts: int | None
    answered: int
    skipped: int
    answered_today: int
    places: list[int]
    has_reservations: bool
    server_started: datetime
    project_state: str

    @property
    def turns(self) -> int:
        """How many tasks they have had, the one in hand not counted: the same after a release and a new
        claim, so that giving a task back never changes what comes."""
        return self.answered + self.skipped


@dataclass(frozen=True)
class Cursor:
    """Says: before `place` in the queue's order nothing was free for the annotator, in a snapshot in which
    all transactions before `seen` were over.

    A task that is free there now has moved since: it came into the queue, changed its place, or got a slot or
    its annotator back. Each of these stamps the task with its transaction's number (`moved_xid`, by trigger),
    which is then `seen` or later. So the cursor's annotator looks at those rows, and from `place` on. Numbers
    of transactions are of one running server; a cursor from before a restart or a restore is not used.
    """

    place: tuple[object, ...]
    seen: int
    server_started: datetime
    turns: int
    made_at: float


_cursors: OrderedDict[tuple[uuid.UUID, uuid.UUID, str], Cursor] = OrderedDict()
_cursors_lock = Lock()
_END: Final = {
    Project.AllocationPolicy.FIFO: (2**31 - 1, uuid.UUID(int=2**128 - 1)),
    Project.AllocationPolicy.FINISH_STARTED: (2**31 - 1, True, uuid.UUID(int=2**128 - 1)),
}


def lock_desk(*, project_id: uuid.UUID, annotator_id: uuid.UUID) -> None:
    """Until the transaction ends, nobody else claims for this annotator, or changes what decides their
    claims: their membership, their qualification."""
    with prepared_cursor() as cursor:
        sql = f"SELECT pg_advisory_xact_lock(hashtextextended(%s, 0)), {TELL_ACTOR}"
        cursor.execute(sql, [_desk(project_id, annotator_id), actor_told()])


def close_gate(*, project: Project) -> None:
    """Waits for the claims under way; until the transaction ends, nobody claims in the project. Whoever wants
    desks as well takes them after the gate, as a claim does, or the two would wait for each other."""
    with prepared_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [_gate(project.pk)])


def lock_desk_and_read(*, project: Project, annotator: User) -> Facts:
    """Past the project's gate (:func:`close_gate`), and under the annotator's desk lock."""
    # Two statements: the second's snapshot has to be taken after the locks are held.
    with prepared_cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended(%s, 0)),"
            f" pg_advisory_xact_lock(hashtextextended(%s, 0)), {TELL_ACTOR}",
            [_gate(project.pk), _desk(project.pk, annotator.pk), actor_told()],
        )
        cursor.execute(_FACTS, {"project": project.pk, "annotator": annotator.pk})
        return Facts(*cursor.fetchone())


def _gate(project_id: uuid.UUID) -> str:
    return f"gate:{project_id}"


def _desk(project_id: uuid.UUID, annotator_id: uuid.UUID) -> str:
    return f"desk:{project_id}:{annotator_id}"


def renew(*, project: Project, annotator: User, all: bool) -> list[Assignment]:
    """The open leases, the current one first (that alone unless `all`), each with a whole lease's time again.

    One that had run out gets a new token: the old one was refused.
    """
    which = "" if all else "ORDER BY leased_at, id LIMIT 1"
    rows = Assignment.objects.raw(
        f"""
        UPDATE annotation_assignment SET
            token = CASE WHEN expires_at > now() THEN token ELSE gen_random_uuid() END,
            expires_at = now() + make_interval(secs => %(lease)s)
         WHERE state = 'leased' AND id IN (
            SELECT id FROM annotation_assignment
             WHERE project_id = %(project)s AND annotator_id = %(annotator)s AND state = 'leased' {which})
        RETURNING *
        """,
        {"project": project.pk, "annotator": annotator.pk, "lease": project.lease_seconds},
    )
    return sorted(rows, key=lambda row: (row.leased_at, row.pk))


def take_from_queue(
    *, project: Project, annotator: User, facts: Facts, place: int, wait: bool
) -> Assignment | None:
    cursor = _cursor(project, annotator, facts) if facts.turns >= CURSOR_FROM_TURNS else None
    sql, params = queue_statement(project=project, annotator=annotator, place=place, wait=wait, cursor=cursor)
    return _one(sql, params)


def queue_statement(
    *,
    project: Project,
    annotator: User,
    place: int = 0,
    wait: bool = False,
    cursor: Cursor | None = None,
) -> tuple[str, dict[str, object]]:
    """The claim from the queue as (SQL, parameters), apart so that a test can EXPLAIN it."""
    key = _KEY[Project.AllocationPolicy(project.allocation_policy)]
    params = _params(project, annotator, place)
    pick = _FROM_QUEUE
    if cursor is not None:
        pick = _FROM_CURSOR
        params |= {"seen": cursor.seen} | {f"place{i}": value for i, value in enumerate(cursor.place)}
    at = ", ".join(f"%(place{i})s" for i in range(len(cursor.place))) if cursor else ""
    skip_locked = "" if wait else "SKIP LOCKED"
    return pick.format(key=key, place=at, skip_locked=skip_locked) + _LEASE, params


def take_reserved(*, project: Project, annotator: User, place: int, wait: bool) -> Assignment | None:
    skip_locked = "" if wait else "SKIP LOCKED"
    sql = _FROM_RESERVED.format(skip_locked=skip_locked) + _LEASE
    return _one(sql, _params(project, annotator, place))


def take_put_off(*, project: Project, annotator: User, place: int) -> Assignment | None:
    return _one(_FROM_PUT_OFF.format(skip_locked="") + _LEASE, _params(project, annotator, place))


def take_check(*, project: Project, annotator: User, place: int, kind: RankingTask.Kind) -> Assignment | None:
    params = _params(project, annotator, place) | {"kind": kind.value, "seed": project.mixing_seed}
    return _one(_FROM_CHECKS + _LEASE, params)


def take_qualification(*, project: Project, annotator: User, place: int, attempt: int) -> Assignment | None:
    params = _params(project, annotator, place) | {
        "attempt": attempt,
        "tasks": project.qualification_tasks,
        "seed": project.mixing_seed,
    }
    return _one(_FROM_QUALIFICATION + _LEASE, params)


def _params(project: Project, annotator: User, place: int) -> dict[str, object]:
    return {
        "id": uuid7(),
        "token": uuid.uuid4(),
        "project": project.pk,
        "annotator": annotator.pk,
        "lease": project.lease_seconds,
        "free_place": place,
    }


def _one(sql: str, params: dict[str, Any]) -> Assignment | None:
    with prepared_cursor() as cursor:
        cursor.execute(sql, params)
        row = cursor.fetchone()
    return row and instance(Assignment, row)


def _cursor(project: Project, annotator: User, facts: Facts) -> Cursor | None:
    """The annotator's cursor, made or brought forward where it is due."""
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
    """Where the queue's first task is that isn't the annotator's, locked or not, and the snapshot's oldest
    transaction. None when this transaction has written already: were it undone, the place would be wrong."""
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
    """Apart for the same reason as :func:`queue_statement`."""
    key = _KEY[policy]
    select = f"SELECT {key} FROM annotation_rankingtask t WHERE"
    free = f"{select} {_QUEUED} AND {_NOT_MINE}"
    params: dict[str, Any] = {"project": project.pk, "annotator": annotator.pk}
    if known is None:
        first = f"{free} ORDER BY {key} LIMIT 1"
    else:
        at = ", ".join(f"%(place{i})s" for i in range(len(known.place)))
        params |= {"seen": known.seen} | {f"place{i}": value for i, value in enumerate(known.place)}
        behind = f"{select} {_BEHIND.format(key=key, place=at)} LIMIT 1"
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
