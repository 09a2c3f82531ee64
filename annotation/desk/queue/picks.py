"""The claim's SQL: one statement picks a task and leases it."""

from __future__ import annotations

import uuid
from typing import Any

from annotation.database.prepared import columns, instance, prepared_cursor
from annotation.desk.queue.cursor import Cursor, cursor_of
from annotation.desk.queue.facts import Facts
from annotation.desk.queue.order import BEHIND, KEY, NOT_MINE, QUEUED
from annotation.ids import uuid7
from annotation.models import Assignment, Project, RankingTask, User

_LOCKED = "LIMIT 1 FOR NO KEY UPDATE OF t {skip_locked}"
# Each pick query returns one row (id, attempt), or no row.
_FROM_QUEUE = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE {QUEUED} AND {NOT_MINE}
     ORDER BY {{key}} {_LOCKED}
)"""
# In the queue, every task in `behind` precedes every task in `ahead`.
_FROM_CURSOR = f"""
WITH behind AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE {BEHIND} {_LOCKED}
), ahead AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE NOT EXISTS (SELECT FROM behind) AND {QUEUED} AND ({{key}}) >= ({{place}}) AND {NOT_MINE}
     ORDER BY {{key}} {_LOCKED}
), pick AS (
    SELECT * FROM behind UNION ALL SELECT * FROM ahead
)"""
_FROM_RESERVED = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_reservation r JOIN annotation_rankingtask t ON t.id = r.task_id
     WHERE r.project_id = %(project)s AND r.annotator_id = %(annotator)s AND r.open
       AND t.state = 'open' AND t.open_slots > 0 AND {NOT_MINE}
     ORDER BY r.id {_LOCKED}
)"""
# Tasks that the annotator deferred and that still have a free slot, oldest skip first.
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
# Checks have no slots and are not locked. The order of checks differs between annotators, so that annotators
# can't tell each other which task is a check.
_FROM_CHECKS = f"""
WITH pick AS (
    SELECT t.id, 0 AS attempt FROM annotation_rankingtask t
     WHERE t.project_id = %(project)s AND t.kind = %(kind)s AND t.state = 'open' AND {NOT_MINE}
     ORDER BY md5(concat(%(seed)s::text, %(annotator)s::text, t.id)) LIMIT 1
)"""
# An attempt consists of `tasks` qualification tasks, or of all qualification tasks if `tasks` is NULL.
# Practice shows a task's correct answer once the task is answered. Tasks that the annotator was given least
# often in earlier attempts therefore come first. Deferred tasks come last.
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
                -- A deferred task that has closed since never returns. Another one replaces it.
                AND (had.state <> 'skipped' OR had.skip_way <> 'me' OR q.state = 'open')))
     ORDER BY (mine.state = 'skipped') IS TRUE,
              (SELECT count(*) FROM annotation_assignment earlier
                WHERE earlier.task_id = t.id AND earlier.annotator_id = %(annotator)s
                  AND earlier.attempt BETWEEN 1 AND %(attempt)s - 1
                  AND earlier.state NOT IN ('expired', 'released')),
              md5(concat(%(seed)s::text, %(annotator)s::text, t.id)) LIMIT 1
)"""
# The order in which responses are shown depends only on the task, the annotator and the attempt. The order
# is the same after a reload and different for each annotator.
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


def renew(*, project: Project, annotator: User, all: bool) -> list[Assignment]:
    """Renews the current lease or, with `all`, every open lease, for a full lease period. The current lease
    comes first.

    An expired lease gets a new token, so that the old token, which has been refused since the lease expired,
    stays invalid.
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
    cursor = cursor_of(project, annotator, facts)
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
    """The SQL and parameters of a claim from the queue. The function is separate so that a test can EXPLAIN
    the query."""
    key = KEY[Project.AllocationPolicy(project.allocation_policy)]
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
