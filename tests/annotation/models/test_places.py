"""A ranking's places are always derived from its tiers, regardless of the code that writes the row."""

from __future__ import annotations

import io
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from annotation.content.importing.imports import import_file
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Project, Ranking, RankingTask, User
from annotation.projects.projects import create_project
from preferences.statistics.pairs import UNRANKED
from tests.annotation.answering import claim

X = UNRANKED


def _responses(task: RankingTask) -> list[UUID]:
    """The task's response IDs, by position."""
    return list(task.shown.order_by("position").values_list("response", flat=True))


def _submit(project: Project, person: User, tiers: list[list[int]], **answer: Any) -> Ranking:
    """Submits an answer whose tiers refer to responses by position."""
    assignment = claim(project, person)
    ids = _responses(assignment.task)
    given = Answer(tiers=[[ids[n] for n in tier] for tier in tiers], touched=True, **answer)
    ranking, _ = submit_ranking(assignment=assignment, token=assignment.token, answer=given)
    return Ranking.objects.get(pk=ranking.pk)


@pytest.mark.parametrize(
    ("tiers", "places"),
    [
        ([[2], [0], [1]], [1, 2, 0]),
        ([[1, 2], [0]], [1, 0, 0]),
        ([[0, 1, 2]], [0, 0, 0]),
    ],
)
def test_places_contain_the_tier_of_each_response_by_position(
    project: Project, tasks: list[RankingTask], alice: User, tiers: list[list[int]], places: list[int]
) -> None:
    assert _submit(project, alice, tiers).places == places


def test_responses_outside_the_top_k_are_unranked(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    project.form = project.form | {"top_k": {"at_least": 1, "at_most": 2}}
    project.save(update_fields=["form"])

    assert _submit(project, alice, [[1]]).places == [X, 0, X]


def test_answer_marked_not_rankable_has_no_places(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assert _submit(project, alice, [], not_rankable=True).places == [X, X, X]


def test_revision_has_its_own_places(project: Project, tasks: list[RankingTask], alice: User) -> None:
    first = _submit(project, alice, [[0], [1], [2]])
    assert first.assignment is not None
    ids = _responses(first.task)

    revised, _ = revise_ranking(
        assignment=first.assignment, answer=Answer(tiers=[[ids[2]], [ids[0], ids[1]]], touched=True)
    )

    assert Ranking.objects.get(pk=revised.pk).places == [1, 1, 0]
    assert Ranking.objects.get(pk=first.pk).places == [0, 1, 2]


@pytest.mark.django_db
def test_places_of_imported_rankings_follow_the_positions_in_the_task() -> None:
    project = create_project(slug="imported")
    rows = [
        {"prompt": "Q", "responses": ["a", "b", "c"], "tiers": [[2], [0, 1]], "annotator": "kim"},
        # The same task, with its responses in a different order.
        {"prompt": "Q", "responses": ["c", "a", "b"], "tiers": [[1], [2], [0]], "annotator": "lee"},
        {"prompt": "Q", "responses": ["b", "c", "a"], "not_rankable": True, "annotator": "ann"},
    ]

    report = import_file(
        project=project, file=io.BytesIO(b"\n".join(json.dumps(row).encode() for row in rows))
    )

    assert (report.tasks, report.rankings) == (1, 3)
    places = dict(Ranking.objects.filter(project=project).values_list("annotator_label", "places"))
    assert places == {"kim": [1, 1, 0], "lee": [0, 1, 2], "ann": [X, X, X]}


def _insert_again(ranking: Ranking, **changes: Any) -> None:
    fields = {
        field.attname: getattr(ranking, field.attname)
        for field in Ranking._meta.concrete_fields
        if field.attname not in {"id", "created_at"}
    }
    with transaction.atomic():
        Ranking.objects.create(**fields | {"supersedes_id": ranking.pk, "places": None} | changes)


@pytest.fixture
def ranking(project: Project, tasks: list[RankingTask], alice: User) -> Ranking:
    return _submit(project, alice, [[2], [0], [1]])


@pytest.mark.parametrize("places", [[0, 1, 2], [1, 2], [1, 2, 0, 3], [1, 2, None], []])
def test_places_that_disagree_with_the_tiers_are_refused(ranking: Ranking, places: list[int | None]) -> None:
    with pytest.raises(IntegrityError, match="do not follow from its tiers"):
        _insert_again(ranking, places=places)
    _insert_again(ranking, places=[1, 2, 0])


def test_places_of_a_stored_ranking_cannot_be_changed(ranking: Ranking) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE annotation_ranking SET places = '{0,1,2}'")


def test_tiers_with_an_unknown_or_repeated_response_are_refused(ranking: Ranking) -> None:
    a, b, c = map(str, _responses(ranking.task))
    for tiers in ([[a], [b], [str(uuid4())]], [[a], [b], [a]], [[a, a], [b, c]], [[a, b, c, str(uuid4())]]):
        with pytest.raises(IntegrityError, match="each at most once"):
            _insert_again(ranking, tiers=tiers)
