"""The time for checking new rankings and comparisons is proportional to the number of new rows, even in a
session that made its query plans when the tables were small."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.db import connection

from annotation.desk.comparisons import RankedTask, copy_comparisons
from annotation.models import Project, Ranking, RankingTask, User

pytestmark = pytest.mark.django_db

MAKE_PLANS = 12  # enough executions for PL/pgSQL to keep a generic plan for the session
TASKS = 200
RESPONSES = 8


def rank(tasks: Sequence[RankingTask], annotator: User) -> int:
    """Ranks each task in the imported order. One statement inserts all rankings, another all comparisons."""
    rankings, ranked = [], []
    for task in tasks:
        shown = list(task.responses.order_by("shown_in__position").values_list("pk", flat=True))
        ranking = Ranking(
            project_id=task.project_id,
            task=task,
            annotator=annotator,
            source=Ranking.Source.API,
            shown_order=shown,
            tiers=[[str(pk)] for pk in shown],
            touched=True,
        )
        rankings.append(ranking)
        tiers = [[pk] for pk in shown]
        ranked.append(RankedTask(ranking.pk, task.project_id, task.prompt_id, shown, tiers, None))
    Ranking.objects.bulk_create(rankings)
    return copy_comparisons(ranked)


def rows_read_from(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = %s", [table]
        )
        read: int = cursor.fetchone()[0]
    return read


def test_query_plan_for_small_tables_is_also_fast_on_large_tables(
    project: Project, alice: User, add_tasks: Callable[..., list[RankingTask]]
) -> None:
    few = add_tasks(project, MAKE_PLANS, k=RESPONSES)
    with connection.cursor() as cursor:
        # With these statistics, Postgres makes plans for small tables. Without the statistics, Postgres would
        # make plans for tables of unknown size.
        cursor.execute("ANALYZE annotation_ranking, annotation_taskresponse")
    for task in few:
        rank([task], alice)
    tasks = add_tasks(project, TASKS, k=RESPONSES)
    rankings_before = rows_read_from("annotation_ranking")
    responses_before = rows_read_from("annotation_taskresponse")
    written = rank(tasks[MAKE_PLANS:], alice)

    n = TASKS - MAKE_PLANS
    assert written == n * RESPONSES * (RESPONSES - 1) // 2
    # For each comparison, the ranking was looked up by index. The slow plan would read fewer rankings from
    # the table, but would repeatedly scan these rankings (or all new rows) in memory. In our measurements,
    # these scans took minutes.
    assert rows_read_from("annotation_ranking") - rankings_before >= written
    # For each ranking, the responses of its task were looked up twice. The first lookup was for the places,
    # the second for the display order. The test's own query reads the responses a third time.
    assert rows_read_from("annotation_taskresponse") - responses_before <= 3 * n * RESPONSES
