<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
"""The trigger that checks new comparisons costs time linear in their number, not times the number of
rankings: also in a session that planned it when the tables were small."""
========
"""The checks of new rankings and comparisons cost time in proportion to the new rows, even in a session that
planned them while the tables were small."""
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.db import connection

from annotation.desk.comparisons import RankedTask, copy_comparisons
from annotation.models import Project, Ranking, RankingTask, User

pytestmark = pytest.mark.django_db

<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
MAKE_PLANS = 12  # number of statements after which plpgsql keeps its plan for the session
========
MAKE_PLANS = 12  # statements after which plpgsql keeps a plan for the session
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py
TASKS = 200
RESPONSES = 8


def rank(tasks: Sequence[RankingTask], annotator: User) -> int:
<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
    """Ranks all tasks in the imported order, with one statement for the rankings and one for the
    comparisons."""
========
    """Ranks each task in the imported order, with one statement for rankings and one for comparisons."""
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py
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


<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
def test_plan_for_a_small_table_is_fast_on_a_large_one(
========
def test_plan_made_for_small_tables_serves_large_ones(
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py
    project: Project, alice: User, add_tasks: Callable[..., list[RankingTask]]
) -> None:
    few = add_tasks(project, MAKE_PLANS, k=RESPONSES)
    with connection.cursor() as cursor:
<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
        cursor.execute("ANALYZE annotation_ranking")  # so that its statistics say empty, not unknown
    tasks = add_tasks(project, TASKS, k=RESPONSES)
    for task in tasks[:MAKE_PLANS]:
========
        # So that Postgres plans for tables of this size, not of unknown size.
        cursor.execute("ANALYZE annotation_ranking, annotation_taskresponse")
    for task in few:
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py
        rank([task], alice)
    tasks = add_tasks(project, TASKS, k=RESPONSES)
    rankings_before = rows_read_from("annotation_ranking")
    responses_before = rows_read_from("annotation_taskresponse")
    written = rank(tasks[MAKE_PLANS:], alice)
<<<<<<<< HEAD:tests/annotation/desk/test_comparison_trigger_cost.py
    assert written == (TASKS - MAKE_PLANS) * RESPONSES * (RESPONSES - 1) // 2
    # Each comparison found its ranking by index. The slow plan reads fewer rankings, but reads each of them,
    # or all new rows, repeatedly from memory, which took minutes.
    assert rows_read_from_rankings() - before >= written
========

    n = TASKS - MAKE_PLANS
    assert written == n * RESPONSES * (RESPONSES - 1) // 2
    # Every comparison looked up its ranking by index. The slow plan reads fewer rankings from the table, but
    # scans them, or all new rows, again and again in memory, which took minutes.
    assert rows_read_from("annotation_ranking") - rankings_before >= written
    # Every ranking looked up the responses of its own task: once for its places, once for its shown order.
    # The query of the test itself reads them a third time.
    assert rows_read_from("annotation_taskresponse") - responses_before <= 3 * n * RESPONSES
>>>>>>>> refs/heads/db:tests/annotation/desk/test_plans_of_new_rows.py
