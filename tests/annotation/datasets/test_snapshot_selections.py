"""Agreement, majorities, reviews, weights and exclusions determine a snapshot's rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.desk.answers import Answer
from annotation.desk.comparisons import RankedTask, insert_comparisons
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Exclusion, Project, Ranking, RankingTask, User
from preferences.formats.snapshot_parquet import read_rankings
from tests.annotation.answering import claim
from training.rlhf.data.files import read_rankings as read_for_training

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


@pytest.fixture
def project(project: Project) -> Project:
    project.overlap = 5
    project.save()
    return project


def rank(task: RankingTask, who: str | User, *tiers: str, **changes: Any) -> Ranking:
    """Creates a ranking. Letters denote positions in the task. For example, the tiers "b", "ac" rank b above
    a and c, and a and c are tied."""
    ids = list(task.shown.order_by("position").values_list("response_id", flat=True))
    by_letter = dict(zip("abcdefghij", ids, strict=False))
    placed = [[by_letter[letter] for letter in tier] for tier in tiers]
    person: dict[str, Any] = {"annotator": who} if isinstance(who, User) else {"annotator_label": who}
    key = {} if isinstance(who, User) else {"import_key": changes.pop("import_key", f"{task.pk}-{who}")}
    ranking = Ranking.objects.create(
        project=task.project,
        task=task,
        source=Ranking.Source.IMPORT if key else Ranking.Source.API,
        shown_order=changes.pop("shown_order", ids),
        tiers=[[str(id) for id in tier] for tier in placed],
        touched=True,
        **person,
        **key,
        **changes,
    )
    insert_comparisons([
        RankedTask(ranking.pk, task.project_id, task.prompt_id, ids, placed, ranking.strength)
    ])  # fmt: skip
    return ranking


def reviewed(task: RankingTask, reviewer: User, *tiers: str) -> Ranking:
    ids = list(task.shown.order_by("position").values_list("response_id", flat=True))
    assignment = Assignment.objects.create(
        task=task,
        project=task.project,
        annotator=reviewer,
        state=Assignment.State.REVIEWED,
        shown_order=ids,
        expires_at="2030-01-01T00:00Z",
    )
    assignment.refresh_from_db()
    return rank(
        task,
        reviewer,
        *tiers,
        kind=Ranking.Kind.REVIEW,
        assignment=assignment,
        form_version=assignment.form_version,
    )


def frozen(
    project: Project, name: str = "v1", **selection: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    snapshot = freeze_snapshot(project=project, name=name, selection=selection)
    return snapshot.card, list(read_rankings(snapshot_path(snapshot)))


def order_of(row: dict[str, Any], task: RankingTask) -> list[str]:
    ids = [str(id) for id in task.shown.order_by("position").values_list("response_id", flat=True)]
    letters = dict(zip(ids, "abcdefghij", strict=False))
    shown = [letters[response["id"]] for response in row["responses"]]
    return ["".join(sorted(shown[index] for index in tier)) for tier in row["tiers"]]


def test_majority_produces_one_row_per_task_regardless_of_display_order(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    first, second, *_ = tasks
    ids = list(first.shown.order_by("position").values_list("response_id", flat=True))
    rank(first, "kim", "a", "b", "c", strength=1, ratings={str(ids[0]): {"help": 4}})
    rank(first, "lee", "a", "c", "b", shown_order=ids[::-1], strength=3, ratings={str(ids[0]): {"help": 3}})
    rank(first, alice, "b", "a", "c", strength=3, flags={str(ids[2]): ["unsafe"]})
    alone = rank(second, "kim", "c", "ab")
    card, rows = frozen(project, aggregation="majority")
    assert [row["task_id"] for row in rows] == [str(first.pk), str(second.pk)]
    assert order_of(rows[0], first) == ["a", "b", "c"]
    assert (rows[0]["votes"], rows[0]["decided_by"], rows[0]["annotator"]) == (3, "majority", "")
    assert rows[0]["strength"] == 1  # two rankings put response a first; the weaker strength is kept
    assert json.loads(rows[0]["ratings"]) == {str(ids[0]): {"help": 3.5}}
    assert rows[0]["flags"] == "{}"  # only one of three annotators set a flag
    assert (rows[1]["ranking_id"], rows[1]["decided_by"], rows[1]["votes"]) == (str(alone.pk), "only", 1)
    assert order_of(rows[1], second) == ["c", "ab"]
    assert card["decided_by"] == {"majority": 1, "only": 1}
    assert (card["rankings"], card["tasks"], card["comparisons"]) == (2, 2, 6)
    assert frozen(project, "again", aggregation="majority")[0]["sha256"] == card["sha256"]


def test_rankings_without_an_order_are_not_votes_but_their_ratings_count(
    project: Project, tasks: list[RankingTask]
) -> None:
    first, second, *_ = tasks
    ids = [
        list(task.shown.order_by("position").values_list("response_id", flat=True))
        for task in (first, second)
    ]
    rank(first, "kim", comment="Rude.", ratings={str(ids[0][0]): {"help": 1}})
    rank(first, "lee", "b", "a", "c", ratings={str(ids[0][0]): {"help": 4}})
    rank(second, "kim", ratings={str(ids[1][0]): {"help": 1}})
    rank(second, "lee", ratings={str(ids[1][0]): {"help": 4}})
    card, rows = frozen(project, aggregation="majority")
    assert [order_of(row, task) for row, task in zip(rows, (first, second), strict=True)] == [
        ["b", "a", "c"],
        [],
    ]
    assert [(row["votes"], row["decided_by"]) for row in rows] == [(1, "only"), (2, "majority")]
    assert [(row["not_rankable"], row["all_bad"]) for row in rows] == [(False, False)] * 2
    assert json.loads(rows[0]["ratings"]) == {str(ids[0][0]): {"help": 2.5}}
    assert (rows[0]["annotator"], rows[0]["comment"]) == ("", "")
    assert json.loads(rows[1]["ratings"]) == {str(ids[1][0]): {"help": 2.5}}
    assert (card["without_order"], card["not_rankable"]) == (1, 0)


def test_flags_and_choices_need_a_majority_of_annotators_who_could_set_them(
    project: Project, tasks: list[RankingTask]
) -> None:
    a, *_ = tasks[0].shown.order_by("position").values_list("response_id", flat=True)
    rude = {str(a): ["rude"]}
    rank(tasks[0], "kim", "a", "b", "c", choices={"safe": "yes"})
    rank(tasks[0], "lee", "b", "a", "c", flags=rude)
    # Two of three annotators flagged the response. A comment does not count as a vote on flags.
    rank(tasks[0], "mia", flags=rude, choices={"safe": "no"})
    rank(tasks[0], "pat", comment="Rude.")
    # The rankings of the second task have no order. Both annotators who made a choice chose yes.
    for who in ("kim", "lee"):
        rank(tasks[1], who, choices={"safe": "yes"})
    rank(tasks[1], "mia", comment="Rude.")
    _, rows = frozen(project, aggregation="majority")
    assert [json.loads(row["flags"]) for row in rows] == [rude, {}]
    assert [json.loads(row["choices"]) for row in rows] == [{}, {"safe": "yes"}]
    assert [row["votes"] for row in rows] == [2, 3]


def test_annotator_with_several_rankings_counts_once_in_ratings_and_flags(
    project: Project, tasks: list[RankingTask]
) -> None:
    a, *_ = tasks[0].shown.order_by("position").values_list("response_id", flat=True)
    rank(tasks[0], "kim", "a", "b", "c", ratings={str(a): {"help": 5}})
    rank(tasks[0], "lee", "a", "b", "c", ratings={str(a): {"help": 1}})
    later = {"ratings": {str(a): {"help": 3}}, "flags": {str(a): ["rude"]}}
    rank(tasks[0], "kim", import_key="later", **later)
    _, (row,) = frozen(project, aggregation="majority")
    assert json.loads(row["ratings"]) == {str(a): {"help": 2}}
    assert row["flags"] == "{}"  # only one of two annotators set a flag
    assert (order_of(row, tasks[0]), row["votes"]) == (["a", "b", "c"], 2)


def test_cyclic_majorities_are_reported(project: Project, tasks: list[RankingTask]) -> None:
    for who, order in (("kim", "abc"), ("lee", "bca"), ("mia", "cab")):
        rank(tasks[0], who, *order)
    card, (row,) = frozen(project, aggregation="majority")
    assert (order_of(row, tasks[0]), row["decided_by"]) == (["abc"], "borda")
    assert card["decided_by"] == {"borda": 1}


def test_review_determines_the_row_of_its_task(
    project: Project, tasks: list[RankingTask], rita: User
) -> None:
    rank(tasks[0], "kim", "a", "b", "c")
    rank(tasks[0], "lee", "a", "b", "c")
    review = reviewed(tasks[0], rita, "c", "b", "a")
    card, (row,) = frozen(project, aggregation="majority")
    assert (row["ranking_id"], row["decided_by"], row["votes"]) == (str(review.pk), "review", 3)
    assert (order_of(row, tasks[0]), row["kind"]) == (["c", "b", "a"], "review")
    assert card["agreement"] == {"share": 1.0, "pairs": 3, "tasks": 1}  # agreement excludes the review
    _, rows = frozen(project, "every")
    assert [row["kind"] for row in rows] == ["annotation", "annotation", "review"]
    assert len(frozen(project, "people", kinds=["annotation"])[1]) == 2


def test_only_a_majority_marks_a_row_as_not_rankable_or_all_bad(
    project: Project, tasks: list[RankingTask]
) -> None:
    rank(tasks[0], "kim", not_rankable=True)
    rank(tasks[0], "lee", not_rankable=True)
    rank(tasks[0], "mia", "a", "b", "c")
    rank(tasks[1], "kim", all_bad=True)
    rank(tasks[1], "lee", "a", "b", "c", all_bad=True)
    rank(tasks[2], "kim", not_rankable=True)
    rank(tasks[2], "lee", "a", "bc")
    _, rows = frozen(project, aggregation="majority")
    assert [(row["not_rankable"], row["all_bad"]) for row in rows] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert [order_of(row, task) for row, task in zip(rows, tasks, strict=False)] == [
        [],
        ["a", "b", "c"],
        ["a", "bc"],
    ]


def test_tasks_are_selected_by_agreement(project: Project, tasks: list[RankingTask], rita: User) -> None:
    agreed, half, alone, decided = tasks
    for who in ("kim", "lee"):
        rank(agreed, who, "a", "b", "c")
    rank(half, "kim", "a", "b", "c")
    rank(half, "lee", "b", "a", "c")  # the annotators agree on two of three pairs
    rank(alone, "kim", "a", "b", "c")
    rank(decided, "kim", "a", "b", "c")
    rank(decided, "lee", "c", "b", "a")
    reviewed(decided, rita, "b", "a", "c")

    def kept(name: str, **selection: Any) -> set[str]:
        return {row["task_id"] for row in frozen(project, name, **selection)[1]}

    assert kept("all") == {str(task.pk) for task in tasks}
    assert kept("two-thirds", min_agreement=0.66) == {str(agreed.pk), str(half.pk)}
    assert kept("most", min_agreement=0.67) == {str(agreed.pk)}
    # Agreement covers the whole task, not only the selected rankings. Agreement is undefined for a
    # task with only one annotator.
    assert kept("kims", min_agreement=0.9, annotators=["kim"]) == {str(agreed.pk)}
    # A task whose row is determined by a review is kept even if the annotators disagree.
    assert kept("settled", min_agreement=0.9, aggregation="majority") == {str(agreed.pk), str(decided.pk)}
    card, _ = frozen(project, "card")
    assert card["agreement"] == {"share": pytest.approx(5 / 9), "pairs": 9, "tasks": 3}


def test_excluded_annotators_are_not_in_any_dataset(
    project: Project, tasks: list[RankingTask], mona: User
) -> None:
    rank(tasks[0], "kim", "a", "b", "c")
    rank(tasks[0], "lee", "c", "b", "a")
    before, _ = frozen(project)
    exclusion = Exclusion.objects.create(
        project=project, annotator_label="lee", reason="spam", created_by=mona
    )
    card, (row,) = frozen(project, "without")
    assert order_of(row, tasks[0]) == ["a", "b", "c"]
    assert (card["annotators"], card["lineage"]["excluded_annotators"]) == (1, 1)
    Exclusion.objects.filter(pk=exclusion.pk).update(lifted_at="2026-01-01T00:00Z", lifted_by=mona)
    assert frozen(project, "again")[0]["sha256"] == before["sha256"]


def test_weights_increase_with_reliability_and_are_used_in_training(
    project: Project, add_tasks: Any, rita: User
) -> None:
    tasks = add_tasks(project, 30, k=4)
    for number, task in enumerate(tasks):
        for who in ("kim", "lee", "mia"):
            rank(task, who, *"abcd")
        rank(task, "coin", *("abcd", "dcba")[number % 2])
        rank(task, "", *"dcba")
    reviewed(tasks[0], rita, *"abcd")
    snapshot = freeze_snapshot(project=project, name="w", selection={"aggregation": "weighted"})
    rows = list(read_rankings(snapshot_path(snapshot)))
    by_order: dict[str, set[float]] = {}
    for row in rows:
        by_order.setdefault(row["annotator"], set()).add(row["weight"])
    good, good_2, good_3, coin = (by_order[row["annotator"]] for row in rows[:4])
    assert good == good_2 == good_3
    assert len(good) == len(coin) == 1
    assert coin.pop() < 0.2 < 1 < good.pop()
    (unnamed,) = by_order[""]
    assert unnamed == pytest.approx(
        sum(row["weight"] for row in rows if row["annotator"] and row["kind"] == "annotation") / 120
    )
    assert sum(row["weight"] for row in rows) / len(rows) == pytest.approx(1)
    (review,) = [row["weight"] for row in rows if row["kind"] == "review"]
    assert review == max(row["weight"] for row in rows)
    assert snapshot.card["weights"]["annotators"] == 4
    read = read_for_training(snapshot_path(snapshot))
    assert [ranking.weight for ranking in read] == [row["weight"] for row in rows]


def test_mean_weight_of_the_rankings_that_training_reads_is_one(project: Project, add_tasks: Any) -> None:
    for number, task in enumerate(add_tasks(project, 30, k=4)):
        for who in ("kim", "lee", "mia"):
            rank(task, who, *"abcd")
        rank(task, "coin", *("abcd", "dcba")[number % 2])
        rank(task, "coin", comment="Rude.", import_key=f"{task.pk}-comment")
        rank(task, "pat", not_rankable=True)
    _, rows = frozen(project, aggregation="weighted")
    read = [row["weight"] for row in rows if row["tiers"]]
    assert len(read) == 120
    assert sum(read) / len(read) == pytest.approx(1)


def test_weights_are_equal_if_fewer_than_three_annotators_share_tasks(
    project: Project, tasks: list[RankingTask]
) -> None:
    rank(tasks[0], "kim", "a", "b", "c")
    rank(tasks[0], "lee", "a", "b", "c")
    card, rows = frozen(project, aggregation="weighted")
    assert [row["weight"] for row in rows] == [1.0, 1.0]
    assert card["weights"] == {"annotators": 0, "lowest": None, "highest": None, "convergence": None}


def test_every_part_of_an_answer_is_in_the_row(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    shown = assignment.shown_order
    answer = Answer(tiers=[[shown[2]], [shown[0], shown[1]]], comment="why", touched=True, duration_ms=5)
    submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
    _, (row,) = frozen(project)
    assert row["tiers"] == [[2], [0, 1]]
    assert (row["form_version"], row["kind"], row["task_kind"]) == (1, "annotation", "ranking")
    assert (row["comment"], row["source"], row["given_at"]) == ("why", "api", None)


def test_partial_rankings_and_answers_about_the_whole_task_are_kept(
    project: Project, tasks: list[RankingTask]
) -> None:
    rank(tasks[0], "kim", "b", confidence=3, choices={"safety": "both"}, metadata={"sheet": 7})
    rank(tasks[1], "kim", all_bad=True, given_at="2023-05-01T10:00Z")
    card, (top, bad) = frozen(project)
    assert (top["tiers"], top["unranked"], top["confidence"]) == ([[1]], [0, 2], 3)
    assert (top["choices"], top["ranking_metadata"]) == ('{"safety": "both"}', '{"sheet": 7}')
    assert (bad["tiers"], bad["unranked"], bad["all_bad"], bad["not_rankable"]) == ([], [], True, False)
    assert (bad["given_at"].year, bad["created_at"].year > 2023) == (2023, True)
    assert (card["comparisons"], card["all_bad"], card["with_unranked"]) == (2, 1, 1)
    assert card["lineage"]["first_ranking"] == "2023-05-01T10:00:00+00:00"
    _, rows = frozen(project, "may", after="2023-01-01T00:00Z", before="2024-01-01T00:00Z")
    assert [row["ranking_id"] for row in rows] == [bad["ranking_id"]]
