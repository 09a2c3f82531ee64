from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from rest_framework.test import APIClient

from annotation.content.adding import add_ranking_tasks
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.desk.checks import set_kind
from annotation.models import Project, Prompt, RankingTask, Response, User
from annotation.models.exclusion import Exclusion
from annotation.oversight.leaderboard import PRIOR, Cell, leaderboard
from preferences.statistics import bradley_terry, davidson
from tests.annotation.answering import rank_next, wrong_fields

AddTasks = Callable[..., list[RankingTask]]


@pytest.fixture
def ranked(project: Project, add_tasks: AddTasks, alice: User) -> Project:
    add_tasks(project, 12)
    for n in range(12):
        rank_next(project, alice, *(([1], [0], [2]) if n % 3 else ([0], [1, 2])))
    return project


WINS = np.array([[0.0, 4, 12], [8, 0, 8], [0, 0, 0]])
TIES = np.array([[0.0, 0, 0], [0, 0, 4], [0, 4, 0]])


def test_leaderboard_orders_models_and_counts_their_results(ranked: Project) -> None:
    board = leaderboard(project=ranked)
    assert [row.model for row in board.standings] == ["model-1", "model-0", "model-2"]
    assert [(row.wins, row.losses, row.ties) for row in board.standings] == [
        (16, 4, 4),
        (16, 8, 0),
        (0, 20, 4),
    ]
    assert board.matrix == [
        Cell("model-0", "model-1", 4, 8, 0),
        Cell("model-0", "model-2", 12, 0, 0),
        Cell("model-1", "model-2", 8, 0, 4),
    ]
    known = dict(zip("012", bradley_terry.fit(WINS + TIES / 2, prior=PRIOR).strength, strict=True))
    for row in board.standings:
        assert row.strength == pytest.approx(known[row.model[-1]])
        assert row.low < row.strength < row.high
    assert (board.comparisons, board.groups, board.models_left_out, board.tie_parameter) == (36, 1, 0, None)


def test_davidson_leaderboard_matches_a_direct_fit(ranked: Project) -> None:
    board = leaderboard(project=ranked, method="davidson")
    known = davidson.fit(WINS, TIES, prior=PRIOR)
    assert board.tie_parameter == pytest.approx(float(known.tie))
    assert {row.model: row.strength for row in board.standings} == pytest.approx(
        {f"model-{n}": strength for n, strength in enumerate(known.strength.tolist())}
    )


def test_models_without_a_name_are_left_out_of_the_leaderboard(ranked: Project) -> None:
    Response.objects.filter(model_name="model-1").update(model_name="")
    assert [row.model for row in leaderboard(project=ranked).standings] == ["model-0", "model-2"]


def test_leaderboard_omits_checks_and_excluded_annotators(ranked: Project, alice: User, mona: User) -> None:
    task = RankingTask.objects.all()[0]
    best, *rest = task.responses.values_list("pk", flat=True)
    set_kind(task=task, kind=RankingTask.Kind.GOLD, gold_tiers=[[best], rest])
    assert leaderboard(project=ranked).comparisons == 33
    Exclusion.objects.create(project=ranked, annotator=alice, reason="guesses", created_by=mona)
    assert leaderboard(project=ranked).standings == []


def test_models_that_were_never_compared_are_in_separate_groups(project: Project, alice: User) -> None:
    for pair in (("a", "b"), ("c", "d")):
        drafts = [
            TaskDraft(
                messages=[{"role": "user", "content": f"{pair} {n}?"}],
                responses=[ResponseDraft(f"{name} {n}", f"model-{place}") for place, name in enumerate(pair)],
            )
            for n in range(3)
        ]
        add_ranking_tasks(project=project, items=drafts)
    for _ in range(6):
        rank_next(project, alice, [0], [1])
    for name, model in (("c", "model-2"), ("d", "model-3")):
        Response.objects.filter(text__startswith=name).update(model_name=model)
    board = leaderboard(project=project)
    group = {row.model: row.group for row in board.standings}
    assert board.groups == 2
    assert group["model-0"] == group["model-1"] != group["model-2"] == group["model-3"]
    # In each group, one model won every comparison, so each of the four models has its own level.
    assert len({row.level for row in board.standings}) == 4


def test_leaderboard_is_grouped_by_round_or_split_or_metadata_value(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 5, k=2, round=0)
    for _ in range(5):
        rank_next(project, alice, [0], [1])
    drafts = [
        TaskDraft(
            messages=[{"role": "user", "content": f"Another {n}?"}],
            responses=[ResponseDraft(f"{n} {k}", f"model-{k}") for k in range(2)],
            metadata={"topic": "refunds", "hard": n == 0},
        )
        for n in range(3)
    ]
    add_ranking_tasks(project=project, items=drafts, round=4)
    for _ in range(3):
        rank_next(project, alice, [1], [0])
    rounds = leaderboard(project=project, by="round").slices
    assert [(one.name, one.comparisons, one.standings[0].model) for one in rounds] == [
        ("0", 5, "model-0"),
        ("4", 3, "model-1"),
    ]
    topics = leaderboard(project=project, by="metadata", key="topic").slices
    assert [(one.name, one.comparisons) for one in topics] == [("refunds", 3)]
    hard = leaderboard(project=project, by="metadata", key="hard").slices
    assert [(one.name, one.comparisons) for one in hard] == [("false", 2), ("true", 1)]
    splits = leaderboard(project=project, by="split").slices
    known = {split: Prompt.objects.filter(split=split).count() for split in ("train", "heldout")}
    assert {one.name: one.comparisons for one in splits} == {name: n for name, n in known.items() if n}
    for odd in ("nothing'; --", "100%s", "%(a)s", "é\\"):
        assert leaderboard(project=project, by="metadata", key=odd).slices == []


def test_invalid_parameter_is_named_in_the_error(
    project: Project, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    client, board = client_of(mona), "/api/v1/projects/support/leaderboard/"
    for query, field in {
        "?method=elo": "method",
        "?by=mood": "by",
        "?by=metadata": "key",
        f"?by=metadata&key={'x' * 201}": "key",
    }.items():
        response = client.get(board + query)
        assert (response.status_code, wrong_fields(response)) == (422, [field])
    assert client.get(f"{board}?by=metadata&key=topic&method=davidson").status_code == 200
