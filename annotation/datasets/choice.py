"""Determines which rankings a snapshot contains, before the first row is read.

A freeze reads the rankings several times (agreement, weights, rows), and annotators continue to work in the
meantime. The chosen rankings' IDs are therefore first stored in a temporary table. A ranking itself never
changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models.expressions import RawSQL

from annotation.datasets.selection import Selection
from annotation.models import Project, Ranking
from annotation.models.ranking import RankingQuerySet

CHOSEN = "frozen_ranking"
AGREEMENT = "frozen_agreement"


@dataclass(frozen=True)
class Agreement:
    """`pairs` is the number of pairs of verdicts on the same two responses, over all `tasks`. `share` is the
    share of these pairs that agree. A tie counts as a verdict."""

    share: float | None
    pairs: int
    tasks: int


def choose(project: Project, selection: Selection) -> int:
    """Stores the selected rankings' IDs for this transaction; returns the number of tasks to which the
    rankings belong."""
    query = selection.rankings_of(project).order_by().values("id", "task_id").query
    sql, parameters = query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{CHOSEN}")
        cursor.execute(f"CREATE TEMPORARY TABLE {CHOSEN} (id, task_id) ON COMMIT DROP AS {sql}", parameters)
        cursor.execute(f"ANALYZE {CHOSEN}")
        if selection.min_agreement is not None:
            _drop_below(cursor, project, selection)
        cursor.execute(f"SELECT count(DISTINCT task_id) FROM {CHOSEN}")
        return int(cursor.fetchone()[0])


def chosen() -> RankingQuerySet:
    return Ranking.objects.filter(pk__in=RawSQL(f"SELECT id FROM {CHOSEN}", []))


def agreement() -> Agreement:
    """Agreement between the chosen rankings, excluding reviews."""
    with connection.cursor() as cursor:
        _measure(cursor, Ranking.objects.annotations().filter(pk__in=RawSQL(f"SELECT id FROM {CHOSEN}", [])))
        cursor.execute(f"SELECT sum(same), sum(pairs), count(*) FROM {AGREEMENT}")
        same, pairs, tasks = cursor.fetchone()
    return Agreement(float(same / pairs) if pairs else None, int(pairs or 0), int(tasks))


def _drop_below(cursor: Any, project: Project, selection: Selection) -> None:
    """Removes the rankings of tasks with less agreement than required or with fewer than two annotators.

    With majority aggregation, tasks with a reviewer's decision are never removed, because the decision is
    final.
    """
    tasks = RawSQL(f"SELECT task_id FROM {CHOSEN}", [])
    _measure(cursor, Ranking.objects.counted().annotations().filter(project=project, task__in=tasks))
    settled = "false"
    if selection.aggregation == "majority":
        settled = (
            f"EXISTS (SELECT FROM annotation_ranking review JOIN {CHOSEN} USING (id)"
            " WHERE review.task_id = chosen.task_id AND review.kind = 'review')"
        )
    cursor.execute(
        f"DELETE FROM {CHOSEN} chosen WHERE NOT {settled} AND NOT EXISTS (SELECT FROM {AGREEMENT} measured"
        " WHERE measured.task_id = chosen.task_id AND measured.same >= %s * measured.pairs)",
        [selection.min_agreement],
    )


def _measure(cursor: Any, rankings: RankingQuerySet) -> None:
    """Creates the temporary table AGREEMENT. For each task with two or more of `rankings`, the table contains
    the number of pairs of verdicts on the same two responses, and the number of these pairs that agree."""
    sql, parameters = rankings.order_by().values("id", "task_id").query.sql_with_params()
    cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{AGREEMENT}")
    cursor.execute(
        f"""
        CREATE TEMPORARY TABLE {AGREEMENT} ON COMMIT DROP AS
        WITH given (id, task_id) AS ({sql}),
        shared AS (SELECT task_id FROM given GROUP BY task_id HAVING count(*) > 1),
        said AS (
            SELECT task_id, LEAST(preferred_id, other_id) AS one, GREATEST(preferred_id, other_id) AS two,
                CASE WHEN is_tie THEN 0 WHEN preferred_id < other_id THEN 1 ELSE -1 END AS what, count(*) AS n
            FROM given JOIN shared USING (task_id)
            JOIN annotation_comparison comparison ON comparison.ranking_id = given.id
            GROUP BY 1, 2, 3, 4
        ),
        pair AS (SELECT task_id, sum(n) AS n, sum(n * (n - 1)) AS same FROM said GROUP BY task_id, one, two)
        SELECT task_id, sum(same) / 2 AS same, sum(n * (n - 1)) / 2 AS pairs FROM pair
        GROUP BY task_id HAVING sum(n * (n - 1)) > 0
        """,
        parameters,
    )
