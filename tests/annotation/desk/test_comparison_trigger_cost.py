"""The trigger that checks new comparisons costs time linear in their number, not times the number of
rankings: also in a session that planned it when the tables were small."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.db import connection

from annotation.desk.comparisons import RankedTask, copy_comparisons
from annotation.models import Project, Ranking, RankingTask, User

pytestmark = pytest.mark.django_db

MAKE_PLANS = 12  # number of statements after which plpgsql keeps its plan for the session
TASKS = 200
RESPONSES = 8


def rank(tasks: Sequence[RankingTask], annotator: User) -> int:
    """Ranks all tasks in the imported order, with one statement for the rankings and one for the
    comparisons."""
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


def rows_read_from_rankings() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables"
            " WHERE relname = 'annotation_ranking'"
        )
        read: int = cursor.fetchone()[0]
    return read


def test_plan_for_a_small_table_is_fast_on_a_large_one(
    project: Project, alice: User, add_tasks: Callable[..., list[RankingTask]]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotation_ranking")  # so that its statistics say empty, not unknown
    tasks = add_tasks(project, TASKS, k=RESPONSES)
    for task in tasks[:MAKE_PLANS]:
        rank([task], alice)
    before = rows_read_from_rankings()
    written = rank(tasks[MAKE_PLANS:], alice)
    assert written == (TASKS - MAKE_PLANS) * RESPONSES * (RESPONSES - 1) // 2
    # Each comparison found its ranking by index. The slow plan reads fewer rankings, but reads each of them,
    # or all new rows, repeatedly from memory, which took minutes.
    assert rows_read_from_rankings() - before >= written
