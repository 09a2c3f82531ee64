"""An import keeps every rating, flag, comment and rewrite, even if the responses have no order, don't become
a task or don't fit the form. The result does not depend on how the rows are divided into batches."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import ImportedVotes
from annotation.desk.allocation import claim_tasks
from annotation.models import Project, Ranking, RankingTask, Response, User
from annotation.projects.projects import create_project
from tests.annotation.content.unordered import SHOWN, ordered, rated, take

pytestmark = pytest.mark.django_db


def test_rankings_that_differ_only_in_metadata_or_time_are_all_stored(project: Project) -> None:
    def annotated(rating: int, when: str) -> dict[str, Any]:
        value = {"from_name": "help", "type": "rating", "value": {"rating": rating}}
        return {
            "data": {"prompt": "Best pet?", "answer1": "Cat", "answer2": "Dog"},
            "annotations": [{"result": [value], "created_at": when}],
        }

    rows = [annotated(4, "2024-05-01"), annotated(2, "2024-05-01"), annotated(2, "2024-05-02")]
    assert take(project, *rows).rankings == 3
    report = take(project, *rows)
    assert (report.rankings, report.unchanged) == (0, 3)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("lines", [["rated", "ordered"], ["open", "ordered"], ["rated", "open", "ordered"]])
def test_task_is_closed_regardless_of_the_order_of_the_batches(
    project: Project, monkeypatch: pytest.MonkeyPatch, lines: list[str], first: int
) -> None:
    rows = {"rated": rated("lee"), "ordered": ordered(), "open": SHOWN}
    monkeypatch.setattr("annotation.content.importing.lines.BATCH_LINES", 1)
    take(project, *(rows[name] for name in (lines if first == 0 else lines[::-1])), overlap=2)
    task = RankingTask.objects.get()
    assert (task.state, task.open_slots) == (RankingTask.State.DONE, 0)


def test_kept_votes_leave_the_task_open_after_every_batch(project: Project) -> None:
    take(project, rated("lee"), votes=ImportedVotes.KEEP)
    take(project, ordered(), votes=ImportedVotes.KEEP)
    assert RankingTask.objects.get().state == RankingTask.State.OPEN
    # The task was kept open for annotators. Another ranking from a file does not close it.
    take(project, ordered("lee"))
    assert RankingTask.objects.get().state == RankingTask.State.OPEN


def test_task_that_an_annotator_has_claimed_stays_open(project: Project, alice: User) -> None:
    take(project, rated())
    claim_tasks(project=project, annotator=alice)
    take(project, ordered())
    task = RankingTask.objects.get()
    assert (task.state, Ranking.objects.count()) == (RankingTask.State.OPEN, 2)


@pytest.mark.parametrize("votes", [ImportedVotes.CLOSE, ImportedVotes.KEEP])
def test_rankings_whose_response_count_does_not_fit_the_form_are_stored(
    votes: ImportedVotes,
) -> None:
    project = create_project(slug="pairs", preset="arena")
    responses = ["Cat", "Dog", "Fish", "Bird"]
    rows: list[dict[str, Any]] = [
        {"prompt": "Best pet?", "responses": responses, "annotator": "kim", "comment": "Rude."},
        {"prompt": "Best pet?", "responses": responses, "annotator": "lee", "ranking": [1, 2, 3, 4]},
    ]
    for row in rows:
        report = take(project, row, votes=votes)
        assert report.rankings == 1
    assert [quirk.name for quirk in take(project, rows[0]).quirks] == ["no-order", "form-takes-others"]
    task = RankingTask.objects.get()
    assert (task.state, task.open_slots, task.rankings.count()) == (RankingTask.State.DONE, 0, 2)
    refused = import_file(
        project=project, file=io.BytesIO(json.dumps({"prompt": "?", "responses": responses}).encode())
    )
    assert refused.failed == 1


def test_later_feedback_supersedes_only_feedback_that_it_repeats(project: Project) -> None:
    rows = [
        rated(ratings={"0": {"help": 4}}),
        rated(ratings={"1": {"help": 1}}),
        rated(ratings={}, comment="Rude."),
        rated(ratings={}, comment="Very rude."),
    ]
    for row in rows:
        take(project, row)
    kept = [(row.comment, len(row.ratings)) for row in Ranking.objects.current().order_by("id")]
    assert kept == [("", 1), ("", 1), ("Very rude.", 0)]
    report = take(project, rated(ratings={"0": {"help": 3}}, comment="Rude again."))
    assert [quirk.name for quirk in report.quirks] == ["no-order", "same-annotator-again"]
    assert take(project, *rows).rankings == 0


def test_later_feedback_in_one_file_supersedes_only_feedback_that_it_repeats(project: Project) -> None:
    take(project, rated(), rated(ratings={}, comment="Rude."), rated(ratings={}, comment="Very rude."))
    assert [row.comment for row in Ranking.objects.current().order_by("id")] == ["", "Very rude."]


@pytest.mark.parametrize("former_has_order", [True, False])
def test_database_refuses_supersession_between_ordered_and_unordered_rankings(
    project: Project, former_has_order: bool
) -> None:
    take(project, ordered() if former_has_order else rated())
    former = Ranking.objects.get()
    fields = {
        "project": project,
        "task": former.task,
        "annotator_label": "kim",
        "shown_order": former.shown_order,
        "touched": True,
        "source": "import",
        "import_key": "1",
        "supersedes": former,
        "comment": "Rude.",
    }
    order = [[str(id)] for id in former.shown_order]
    with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
        Ranking.objects.create(**fields, tiers=[] if former_has_order else order)
    Ranking.objects.create(**fields, tiers=order if former_has_order else [])


def test_rankings_of_a_single_distinct_response_are_kept_in_its_metadata(project: Project) -> None:
    row = {
        "data": {"prompt": "Best pet?", "answer1": "Cat", "answer2": "Cat"},
        "annotations": [
            {
                "id": 7,
                "completed_by": "kim",
                "created_at": "2024-05-01T10:00:00Z",
                "result": [{"from_name": "help", "type": "rating", "value": {"rating": 4}}],
            }
        ],
    }
    report = take(project, row)
    assert (report.tasks, report.rankings) == (0, 0)
    assert [quirk.name for quirk in report.quirks] == ["one-response"]
    assert Response.objects.get().metadata == {
        "left_out_rankings": [
            {
                "annotator": "kim",
                "external_id": "7",
                "given_at": "2024-05-01T10:00:00+00:00",
                "metadata": {
                    "id": 7,
                    "results": [{"name": "help", "type": "rating", "value": {"rating": 4}}],
                },
            }
        ]
    }


def test_repeated_response_without_a_task_keeps_both_ratings(project: Project) -> None:
    take(project, {"prompt": "Best pet?", "responses": ["Cat", "Cat"], "ratings": {"0": 4, "1": 2}})
    assert Response.objects.get().metadata == {"left_out_rankings": [{"ratings": {"0": 4, "1": 2}}]}


def test_every_left_out_ranking_is_kept_in_the_metadata_once(project: Project) -> None:
    same = {"prompt": "Best pet?", "responses": ["Cat", "Cat"]}
    rows = [{**same, "annotator": name, "comment": "Both are rude."} for name in ("kim", "lee")]
    take(project, *rows)
    take(project, {**same, "comment": "Both are rude."})
    again = take(project, *rows)
    assert (again.responses, again.unchanged) == (0, 2)
    assert Response.objects.get().metadata["left_out_rankings"] == [
        {"annotator": "kim", "comment": "Both are rude."},
        {"annotator": "lee", "comment": "Both are rude."},
        {"comment": "Both are rude."},
    ]
