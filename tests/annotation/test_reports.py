from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from annotation.models import Project, RankingTask, Response, TaskResponse, User
from annotation.services import reports
from annotation.services.answers import Answer
from annotation.services.submission import revise_ranking, submit_ranking
from tests.annotation.answering import claim

AddTasks = Callable[..., list[RankingTask]]


def _rank(project: Project, person: User, *tiers: list[int], duration_ms: int = 1000) -> None:
    """Claims the next task and ranks responses by the number in their model's name."""
    assignment = claim(project, person)
    by_model = dict(assignment.task.responses.values_list("model_name", "pk"))
    answer = Answer(
        tiers=[[by_model[f"model-{n}"] for n in tier] for tier in tiers],
        touched=True,
        duration_ms=duration_ms,
    )
    submit_ranking(assignment=assignment, token=assignment.token, answer=answer)


def test_progress_counts_tasks_and_rankings_and_people(
    project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    for seconds in (10, 20, 90):
        _rank(project, alice, [0], [1], [2], duration_ms=seconds * 1000)
    _rank(project, ben, [0, 1], [2], duration_ms=7000)
    found = reports.progress(project=project)
    assert (found.tasks, found.open, found.done, found.rankings, found.comparisons) == (4, 0, 4, 4, 12)
    assert [(row.username, row.rankings, row.median_seconds) for row in found.annotators] == [
        ("alice", 3, 20.0),
        ("ben", 1, 7.0),
    ]
    assert [row.rankings for row in found.per_day] == [4]


def test_a_revised_answer_counts_once_and_as_revised(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    shown = assignment.shown_order
    submit_ranking(assignment=assignment, token=assignment.token, answer=Answer(tiers=[[id] for id in shown]))
    revise_ranking(assignment=assignment, answer=Answer(tiers=[[id] for id in reversed(shown)]))
    found = reports.progress(project=project)
    assert (found.rankings, found.comparisons) == (1, 3)
    board = reports.leaderboard(project=project)
    best = Response.objects.get(pk=shown[-1]).model_name
    assert (board[0].model, board[0].wins, sum(row.wins for row in board)) == (best, 2, 3)


def test_agreement_is_over_pairs_that_two_people_ranked(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    add_tasks(project, 2, overlap=2)
    for person, first in ((alice, ([0], [1], [2])), (ben, ([0], [2], [1]))):
        _rank(project, person, *first)
    _rank(project, alice, [0, 1], [2])
    _rank(project, ben, [1, 0], [2])
    found = reports.quality(project=project)
    assert found.n_pairs == 6
    assert found.pairwise_agreement == pytest.approx(5 / 6)  # they differ on model-1 against model-2, once
    assert [(row.username, row.n_pairs) for row in found.annotators] == [("alice", 6), ("ben", 6)]


def test_quality_without_overlap_is_null_not_an_error(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assert reports.quality(project=project).pairwise_agreement is None
    _rank(project, alice, [0], [1], [2])
    assert reports.quality(project=project) == reports.Quality(None, 0, [])


def test_the_leaderboard_orders_models_and_leaves_unnamed_ones_out(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 12)
    for n in range(12):
        _rank(project, alice, *(([1], [0], [2]) if n % 3 else ([0], [1, 2])))
    board = reports.leaderboard(project=project)
    assert [row.model for row in board] == ["model-1", "model-0", "model-2"]
    assert [(row.wins, row.losses, row.ties) for row in board] == [(16, 4, 4), (16, 8, 0), (0, 20, 4)]
    for row in board:
        assert row.low <= row.strength <= row.high
        assert row.low < row.high
    Response.objects.filter(model_name="model-1").update(model_name="")
    assert [row.model for row in reports.leaderboard(project=project)] == ["model-0", "model-2"]


def test_reports_of_an_empty_project_are_empty(
    project: Project, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    client = client_of(mona)
    assert client.get("/api/v1/projects/support/leaderboard/").json() == []
    assert client.get("/api/v1/projects/support/quality/").json() == {
        "pairwise_agreement": None,
        "n_pairs": 0,
        "annotators": [],
    }
    progress = client.get("/api/v1/projects/support/progress/").json()
    assert (progress["tasks"], progress["per_day"], progress["annotators"]) == (0, [], [])


@pytest.mark.parametrize("report", ["progress", "quality", "leaderboard"])
def test_reports_take_as_many_queries_for_much_as_for_little(
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
                _rank(project, person, *[[i] for i in range(count)])
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/api/v1/projects/support/{report}/").status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1]
