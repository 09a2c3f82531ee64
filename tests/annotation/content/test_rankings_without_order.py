"""An annotator can rate, flag, comment on or rewrite responses without ordering them. An import stores this
input as a ranking without an order. Such a ranking does not answer the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.content.drafts import split_of
from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import ImportedVotes
from annotation.desk.allocation import claim_tasks
from annotation.models import Comparison, Project, Ranking, RankingTask, TaskAgreement, User
from annotation.oversight import review
from annotation.oversight.agreement import refresh_agreement
from annotation.oversight.leaderboard import leaderboard
from annotation.oversight.progress import progress
from annotation.oversight.quality.report import quality
from config.problems import Conflict
from tests.annotation.content.unordered import SHOWN, ordered, rated, take
from tests.field_cases import case

pytestmark = pytest.mark.django_db


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


def test_ranking_without_an_order_does_not_fill_a_slot_of_its_task(project: Project, alice: User) -> None:
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


def test_ranking_without_an_order_supersedes_only_rankings_of_the_same_kind(project: Project) -> None:
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


def test_known_fields_with_values_of_the_wrong_type_are_kept_as_metadata(project: Project) -> None:
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
def test_database_refuses_empty_or_non_imported_rankings_without_an_order(
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
    # Kim's newer ratings for `help` are 3 and 2; Lee's only rating for `help` is that of the first response.
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


def test_review_shows_rankings_without_an_order_but_needs_ordered_rankings(
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


def test_rankings_without_an_order_are_listed_with_zero_tiers(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    take(project, rated(comment="Rude.", flags={"0": ["unsafe"], "1": True}))
    rows = client_of(mona).get(f"/api/v1/projects/{project.slug}/rankings/").json()["results"]
    assert [(row["n_tiers"], row["comment"], row["by"]) for row in rows] == [(0, "Rude.", "kim")]
    assert rows[0]["flags"] == ["unsafe"]


def test_progress_and_task_list_count_only_rankings_with_an_order(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    take(project, rated("kim"), ordered("lee"))
    found = progress(project=project)
    assert (found.rankings, [day.rankings for day in found.per_day]) == (1, [1])
    assert [(row.username, row.rankings) for row in found.annotators] == [("lee", 1)]
    (row,) = client_of(mona).get(f"/api/v1/projects/{project.slug}/tasks/").json()["results"]
    assert row["rankings"] == 1


def test_import_does_not_store_the_fields_that_only_training_reads(project: Project) -> None:
    trained: dict[str, Any] = {"weight": 0.5, "round": 2, "source": "api", "votes": 3, "split": "heldout"}
    take(project, ordered(ranking_id="elsewhere", prompt_hash="0", **trained))
    ranking = Ranking.objects.get()
    prompt = ranking.task.prompt
    assert (ranking.task.round, ranking.source, prompt.split) == (0, "import", split_of(prompt.content_hash))
    assert (ranking.metadata, ranking.task.metadata, prompt.metadata) == ({}, {}, {})
