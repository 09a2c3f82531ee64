"""An annotator can rate, flag, comment on or rewrite responses without ordering them. An import stores this
input as a ranking without an order, which does not answer the task."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import ImportedVotes
from annotation.content.importing.report import ImportReport
from annotation.desk.allocation import claim_tasks
from annotation.models import Comparison, Project, Ranking, RankingTask, Response, TaskAgreement, User
from annotation.oversight import review
from annotation.oversight.agreement import refresh_agreement
from annotation.oversight.leaderboard import leaderboard
from annotation.oversight.quality.report import quality
from annotation.projects.projects import create_project
from config.problems import Conflict
from tests.field_cases import case

pytestmark = pytest.mark.django_db

SHOWN = {"prompt": "Best pet?", "responses": [{"text": "Cat", "model": "m1"}, {"text": "Dog", "model": "m2"}]}


def rated(annotator: str = "kim", **changes: Any) -> dict[str, Any]:
    return {**SHOWN, "annotator": annotator, "ratings": {"0": {"help": 4}, "1": {"help": 2}}, **changes}


def ordered(annotator: str = "kim", best: int = 0, **changes: Any) -> dict[str, Any]:
    return {**SHOWN, "annotator": annotator, "tiers": [[best], [1 - best]], **changes}


def take(project: Project, *rows: dict[str, Any], **options: Any) -> ImportReport:
    data = io.BytesIO("\n".join(map(json.dumps, rows)).encode())
    report = import_file(project=project, file=data, **options)
    assert not report.failed, report.errors
    return report


def test_rankings_without_an_order_are_stored_with_their_annotator(project: Project) -> None:
    report = import_file(project=project, file=case("27-ratings-without-order") / "input.jsonl")
    assert (report.tasks, report.rankings, report.failed) == (2, 2, 0)
    assert [(quirk.name, quirk.count) for quirk in report.quirks] == [("no-order", 2)]
    rating, rewriting = Ranking.objects.order_by("id")
    one, two = rating.shown_order
    assert rating.ratings == {str(one): {"helpfulness": 4}, str(two): {"helpfulness": 2}}
    assert (rating.annotator_label, rating.comment, rating.duration_ms) == ("w7", "r2 is rude", 9000)
    assert (rating.tiers, rating.places) == ([], [127, 127])
    assert rewriting.rewrite == "A better answer."
    assert rewriting.flags == {str(rewriting.shown_order[0]): ["unsafe"]}
    assert not Comparison.objects.exists()


def test_ranking_without_an_order_uses_no_slot_of_its_task(project: Project, alice: User) -> None:
    take(project, rated(), overlap=2)
    task = RankingTask.objects.get()
    assert (task.state, task.open_slots, task.metadata) == (RankingTask.State.OPEN, 2, {})
    assert [lease.task_id for lease in claim_tasks(project=project, annotator=alice)] == [task.pk]


@pytest.mark.parametrize("rows", [[rated("lee"), ordered()], [ordered(), rated("lee")]])
def test_ranking_with_an_order_in_another_row_closes_the_task(
    project: Project, rows: list[dict[str, Any]]
) -> None:
    report = take(project, *rows)
    assert (report.tasks, report.rankings) == (1, 2)
    assert RankingTask.objects.get().state == RankingTask.State.DONE


def test_importing_the_same_rows_again_changes_nothing(project: Project) -> None:
    take(project, rated(), rated("lee"))
    report = take(project, rated(), rated("lee"))
    assert (report.rankings, report.unchanged) == (0, 2)


def test_ranking_without_an_order_supersedes_only_one_without_an_order(project: Project) -> None:
    take(project, ordered(), rated(comment="Rude."))
    take(project, rated(comment="Very rude."))
    take(project, ordered(best=1))
    current = Ranking.objects.current().order_by("id")
    assert [(row.comment, len(row.tiers)) for row in current] == [("Very rude.", 0), ("", 2)]
    assert Ranking.objects.count() == 4


def test_annotator_without_a_ranking_is_kept_as_metadata(project: Project) -> None:
    report = take(project, {**SHOWN, "annotator": "kim", "duration_ms": 7, "strength": 0})
    assert (report.rankings, report.quirks) == (0, [])
    assert RankingTask.objects.get().metadata == {"annotator": "kim", "duration_ms": 7, "strength": 0}


def test_known_fields_with_values_of_another_type_are_kept_as_metadata(project: Project) -> None:
    report = take(project, {**SHOWN, "choices": ["A", "B"], "comment": {"by": "kim"}, "flags": 3})
    assert report.rankings == 0
    assert RankingTask.objects.get().metadata == {
        "choices": ["A", "B"],
        "comment": {"by": "kim"},
        "flags": 3,
    }


def test_ignoring_votes_also_ignores_rankings_without_an_order(project: Project) -> None:
    report = take(project, rated(), votes=ImportedVotes.IGNORE)
    assert (report.tasks, report.rankings) == (1, 0)


@pytest.mark.parametrize(
    "changes", [{"comment": ""}, {"source": "api"}, {"comment": "", "rewrite": ""}, {"not_rankable": None}]
)
def test_database_refuses_rankings_without_an_order_that_are_empty_or_not_imported(
    project: Project, alice: User, changes: dict[str, Any]
) -> None:
    take(project, ordered())
    task = RankingTask.objects.get()
    fields = {
        "project": project,
        "task": task,
        "annotator": alice,
        "shown_order": list(task.responses.values_list("pk", flat=True)),
        "tiers": [],
        "touched": True,
        "source": "import",
        "import_key": "1",
        "comment": "Rude.",
    }
    with pytest.raises(IntegrityError), transaction.atomic():
        Ranking.objects.create(**{**fields, **changes})
    Ranking.objects.create(**fields)


def test_agreement_and_leaderboard_ignore_rankings_without_an_order(project: Project) -> None:
    take(project, ordered("kim"), ordered("lee"))
    before = quality(project=project), leaderboard(project=project)
    take(project, rated("kim"), rated("lee"), rated("moe"), rated("", comment="Rude."))
    found = quality(project=project)
    assert found.ratings[0].n_values == 6
    assert (found.annotators, found.n_pairs, found.agreement) == (
        before[0].annotators,
        before[0].n_pairs,
        before[0].agreement,
    )
    assert leaderboard(project=project) == before[1]


def test_agreement_on_ratings_counts_each_annotator_once(project: Project) -> None:
    take(project, rated("kim", ratings={"0": {"help": 4}, "1": {"help": 1}}))
    take(project, ordered("kim", ratings={"0": {"help": 3}, "1": {"help": 2}}))
    assert quality(project=project).ratings == []
    take(project, rated("lee", ratings={"0": {"help": 3, "tone": "kind"}, "1": 2}))
    (help,) = quality(project=project).ratings
    # Kim's newer ratings are 3 and 2; Lee rated only the first response on the scale.
    assert (help.scale, help.n_units, help.n_values) == ("help", 1, 2)
    assert help.alpha_interval.value is None


def test_stored_agreement_ignores_rankings_without_an_order(project: Project) -> None:
    take(project, ordered("kim"), rated("lee"))
    refresh_agreement(project=project)
    stored = TaskAgreement.objects.get()
    assert (stored.rankings, stored.agreement) == (1, None)
    take(project, ordered("lee"), rated("kim"))
    refresh_agreement(project=project)
    stored.refresh_from_db()
    assert (stored.rankings, stored.agreement) == (2, 1.0)


def test_review_shows_rankings_without_an_order_but_needs_rankings_with_an_order(
    project: Project, rita: User
) -> None:
    take(project, rated("kim"), rated("lee", comment="Both are rude."))
    task = RankingTask.objects.get()
    with pytest.raises(Conflict, match="nothing to decide"):
        review.open_review(task=task, reviewer=rita)
    take(project, ordered("kim"), ordered("lee", best=1))
    shown = review.shown_to_reviewer(assignment=review.open_review(task=task, reviewer=rita))
    assert [(answer.comment, len(answer.tiers)) for answer in shown.answers] == [
        ("", 0),
        ("Both are rude.", 0),
        ("", 2),
        ("", 2),
    ]


def test_api_lists_rankings_without_an_order_with_zero_tiers(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    take(project, rated(comment="Rude.", flags={"0": ["unsafe"], "1": True}))
    rows = client_of(mona).get(f"/api/v1/projects/{project.slug}/rankings/").json()["results"]
    assert [(row["n_tiers"], row["comment"], row["by"]) for row in rows] == [(0, "Rude.", "kim")]
    assert rows[0]["flags"] == ["unsafe"]


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
def test_task_is_closed_in_any_order_of_batches(
    project: Project, monkeypatch: pytest.MonkeyPatch, lines: list[str], first: int
) -> None:
    rows = {"rated": rated("lee"), "ordered": ordered(), "open": SHOWN}
    monkeypatch.setattr("annotation.content.importing.lines.BATCH_LINES", 1)
    take(project, *(rows[name] for name in (lines if first == 0 else lines[::-1])), overlap=2)
    task = RankingTask.objects.get()
    assert (task.state, task.open_slots) == (RankingTask.State.DONE, 0)


def test_kept_votes_leave_the_task_open_in_every_batch(project: Project) -> None:
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
def test_rankings_are_stored_even_if_the_form_takes_another_number_of_responses(
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


def test_later_statements_supersede_only_statements_that_they_repeat(project: Project) -> None:
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


def test_later_statements_in_one_file_supersede_only_statements_that_they_repeat(project: Project) -> None:
    take(project, rated(), rated(ratings={}, comment="Rude."), rated(ratings={}, comment="Very rude."))
    assert [row.comment for row in Ranking.objects.current().order_by("id")] == ["", "Very rude."]


@pytest.mark.parametrize("former_has_order", [True, False])
def test_database_refuses_that_an_order_and_a_ranking_without_an_order_supersede_each_other(
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


def test_both_ratings_of_a_repeated_response_without_a_task_are_kept(project: Project) -> None:
    take(project, {"prompt": "Best pet?", "responses": ["Cat", "Cat"], "ratings": {"0": 4, "1": 2}})
    assert Response.objects.get().metadata == {"left_out_rankings": [{"ratings": {"0": 4, "1": 2}}]}
