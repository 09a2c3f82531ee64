"""A form can change at any time. Answers are checked against the form that was shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.desk.submission import submit_ranking
from annotation.forms.answer_form import AnswerForm, Level, Span, Strength, Text
from annotation.forms.presets import PRESETS
from annotation.models import Assignment, FormVersion, Project, Ranking, RankingTask, User
from annotation.projects.projects import create_project, update_project
from config.problems import Problem
from tests.annotation.answering import claim, next_of, send, strict_order, wrong_fields
from tests.annotation.racing import at_once

ClientOf = Callable[[User | None], APIClient]
GRADED = AnswerForm(
    ties=False,
    strength=Strength(levels=[Level(value=1, label="a bit"), Level(value=2, label="much")], required=True),
    comment=Text(label="Why?", required=True),
)


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def _ask(project: Project, form: AnswerForm = GRADED) -> None:
    update_project(project=project, changes={"form": form.to_json()})


def test_only_form_changes_create_versions(project: Project) -> None:
    _ask(project)
    _ask(project)
    update_project(project=project, changes={"name": "Renamed"})
    Project.objects.filter(pk=project.pk).update(form=PRESETS["oasst"].to_json())
    assert list(project.form_versions.order_by("number").values_list("number", "form")) == [
        (1, PRESETS["ranking"].to_json()),
        (2, GRADED.to_json()),
        (3, PRESETS["oasst"].to_json()),
    ]


@pytest.mark.parametrize("change", ["UPDATE {} SET number = 9", "DELETE FROM {}"])
def test_form_version_cannot_be_changed_or_deleted(project: Project, change: str) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(FormVersion._meta.db_table))


def test_open_lease_keeps_the_form_that_was_shown(desk: APIClient, project: Project) -> None:
    shown = next_of(desk)
    _ask(project)
    reloaded = next_of(desk)
    assert (reloaded["id"], reloaded["form"]) == (shown["id"], shown["form"])
    tied = [[response["id"] for response in shown["responses"]]]
    assert send(desk, shown, tiers=tied).status_code == 201
    assert Ranking.objects.get().form_version.number == 1  # type: ignore[union-attr]


def test_next_task_uses_the_new_form(desk: APIClient, project: Project) -> None:
    send(desk, next_of(desk))
    _ask(project)
    shown = next_of(desk)
    assert shown["form"] == GRADED.to_json()
    assert wrong_fields(send(desk, shown)) == ["strength", "comment"]
    assert send(desk, shown, strength=2, comment="It answers.").status_code == 201
    assert list(Ranking.objects.order_by("id").values_list("form_version__number", flat=True)) == [1, 2]


def test_revision_is_checked_against_the_form_of_its_assignment(desk: APIClient, project: Project) -> None:
    shown = next_of(desk)
    send(desk, shown)
    _ask(project)
    assert wrong_fields(send(desk, shown, "revise", strength=2)) == ["strength"]
    tied = [[response["id"] for response in shown["responses"]]]
    assert send(desk, shown, "revise", tiers=tied).status_code == 201
    assert set(Ranking.objects.values_list("form_version__number", flat=True)) == {1}


def test_reassigned_task_uses_the_new_form(desk: APIClient, project: Project) -> None:
    shown = next_of(desk)
    past = timezone.now() - timedelta(hours=1)
    Assignment.objects.update(expires_at=past, state=Assignment.State.EXPIRED)
    _ask(project)
    again = next_of(desk)
    assert (again["id"], again["form"]) == (shown["id"], GRADED.to_json())
    assert send(desk, shown).status_code == 422
    assert not Ranking.objects.exists()


def test_reopened_task_uses_the_newest_form_that_fits_it(
    desk: APIClient, project: Project, ben: User, client_of: ClientOf
) -> None:
    shown = next_of(desk)
    send(desk, shown)
    RankingTask.objects.exclude(pk=shown["task"]["id"]).update(state="dropped")
    triples = AnswerForm(responses=Span(min=2, max=3), ties=False)
    _ask(project, triples)
    _ask(project, AnswerForm(responses=Span(min=2, max=2)))
    RankingTask.objects.filter(pk=shown["task"]["id"]).update(state="open", overlap=2, open_slots=1)
    other = client_of(ben)
    again = next_of(other)
    assert (again["task"]["id"], again["form"]) == (shown["task"]["id"], triples.to_json())
    assert send(other, again).status_code == 201


def test_database_refuses_to_change_the_form_of_a_lease(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    other = create_project(slug="other").form_versions.get()
    with pytest.raises(IntegrityError, match="keeps the form"), transaction.atomic():
        Assignment.objects.filter(pk=assignment.pk).update(form_version=other)
    assignment.refresh_from_db()
    assert assignment.form_version == project.form_versions.get()


def test_ranking_has_the_form_version_that_was_shown(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    _ask(project)
    assignment.form_version = project.form_versions.get(number=2)
    answer = strict_order(assignment.shown_order)
    with pytest.raises(Problem):
        submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
    whole = {**vars(answer), "strength": 1, "comment": "so"}
    with pytest.raises(IntegrityError, match="another form"):
        submit_ranking(assignment=assignment, token=assignment.token, answer=type(answer)(**whole))
    assert not Ranking.objects.exists()


def test_ranking_without_an_assignment_has_a_form_version_of_its_project(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    other = create_project(slug="other").form_versions.get()
    shown = list(tasks[0].responses.values_list("pk", flat=True))
    row = Ranking(
        project=project,
        task=tasks[0],
        annotator=alice,
        source="api",
        shown_order=shown,
        form_version=other,
        tiers=[[str(id)] for id in shown],
        touched=True,
    )
    with pytest.raises(IntegrityError, match="another form"), transaction.atomic():
        row.save()
    row.form_version = project.form_versions.get()
    row.save()


@pytest.mark.django_db(transaction=True)
def test_every_task_fits_the_form_after_a_change_during_an_import(
    add_tasks: Callable[..., list[RankingTask]],
) -> None:
    pairs = AnswerForm(responses=Span(min=2, max=2))
    for number in range(4):
        project = create_project(slug=f"race-{number}")
        outcomes = at_once([partial(add_tasks, project, 20, k=4), partial(_ask, project, pairs)])
        open_tasks = RankingTask.objects.filter(project=project).count()
        refused = isinstance(outcomes[1], Problem)
        assert (open_tasks, refused) in {(20, True), (0, False)}, outcomes
        project.refresh_from_db()
        assert (project.form == pairs.to_json()) is not refused
