from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.desk import checks
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Project, RankingTask, Response, TaskResponse, User
from annotation.oversight import progress as reports
from annotation.oversight.leaderboard import leaderboard
from tests.annotation.answering import claim, rank_next

AddTasks = Callable[..., list[RankingTask]]


def test_progress_counts_tasks_and_rankings_and_annotators(
    project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    for seconds in (10, 20, 90):
        rank_next(project, alice, [0], [1], [2], duration_ms=seconds * 1000)
    rank_next(project, ben, [0, 1], [2], duration_ms=7000)
    found = reports.progress(project=project)
    assert (found.tasks, found.open, found.done, found.rankings, found.comparisons) == (4, 0, 4, 4, 12)
    assert [(row.username, row.rankings, row.median_seconds) for row in found.annotators] == [
        ("alice", 3, 20.0),
        ("ben", 1, 7.0),
    ]
    assert [row.rankings for row in found.per_day] == [4]


def test_revised_answer_counts_once(project: Project, tasks: list[RankingTask], alice: User) -> None:
    assignment = claim(project, alice)
    shown = assignment.shown_order
    submit_ranking(assignment=assignment, token=assignment.token, answer=Answer(tiers=[[id] for id in shown]))
    revise_ranking(assignment=assignment, answer=Answer(tiers=[[id] for id in reversed(shown)]))
    found = reports.progress(project=project)
    assert (found.rankings, found.comparisons) == (1, 3)
    board = leaderboard(project=project).standings
    best = Response.objects.get(pk=shown[-1]).model_name
    assert (board[0].model, board[0].wins, sum(row.wins for row in board)) == (best, 2, 3)


def test_reports_of_an_empty_project_are_empty(
    project: Project, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    client = client_of(mona)
    board = client.get("/api/v1/projects/support/leaderboard/").json()
    assert (board["standings"], board["matrix"], board["comparisons"], board["groups"]) == ([], [], 0, 0)
    quality = client.get("/api/v1/projects/support/quality/").json()
    unknown = {"value": None, "low": None, "high": None}
    assert (quality["pairwise_agreement"], quality["n_pairs"], quality["annotators"]) == (None, 0, [])
    assert quality["alpha_nominal"] == quality["tau_b"] == quality["longer_wins"] == unknown
    progress = client.get("/api/v1/projects/support/progress/").json()
    assert (progress["tasks"], progress["per_day"], progress["annotators"]) == (0, [], [])


@pytest.mark.parametrize(
    "report",
    ["progress/", "quality/", "leaderboard/", "leaderboard/?by=round", "leaderboard/?by=metadata&key=x"],
)
def test_reports_need_a_fixed_number_of_queries(
    project: Project,
    add_tasks: AddTasks,
    alice: User,
    ben: User,
    mona: User,
    client_of: Callable[[User], APIClient],
    report: str,
) -> None:
    client, counted = client_of(mona), []
    for n, k in ((2, 2), (10, 4)):
        add_tasks(project, n, k=k, overlap=2)
        for person in (alice, ben):
            while (
                RankingTask.objects.filter(open_slots__gt=0).exclude(assignments__annotator=person).exists()
            ):
                count = TaskResponse.objects.filter(task=claim(project, person).task).count()
                rank_next(project, person, *[[i] for i in range(count)])
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/api/v1/projects/support/{report}").status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]


def test_progress_does_not_include_checks(project: Project, tasks: list[RankingTask]) -> None:
    checks.set_kind(
        task=tasks[0],
        kind="gold",
        gold_tiers=[[one] for one in tasks[0].responses.values_list("pk", flat=True)],
    )
    found = reports.progress(project=project)
    assert (found.tasks, found.open, found.done) == (3, 3, 0)
