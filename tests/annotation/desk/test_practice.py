"""Annotators get feedback on qualification tasks, which serve as practice, but not on hidden checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from annotation.desk import checks, membership
from annotation.models import Assignment, Membership, Project, RankingTask, User
from tests.annotation.answering import claim, next_of, send
from tests.annotation.desk.test_checks import answer, make_check

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]


def url(assignment: Assignment) -> str:
    return f"/api/v1/assignments/{assignment.pk}/feedback"


@pytest.fixture
def exam(project: Project, add_tasks: AddTasks) -> Project:
    """Two qualification tasks and two ranking tasks, with three responses each. The pass mark is three of
    four points."""
    for task in add_tasks(project, 4)[:2]:
        make_check(task, "qualification")
    project.qualification_pass_mark = 0.75
    project.save()
    return project


def test_only_qualification_tasks_are_marked_as_practice(
    exam: Project, alice: User, client_of: ClientOf
) -> None:
    desk = client_of(alice)
    shown = desk.post("/api/v1/projects/support/assignments/next", {"prefetch": 1}).json()
    assert [shown["practice"], shown["prefetched"][0]["practice"]] == [True, True]
    for _ in range(2):
        answer(claim(exam, alice))
    assert next_of(desk)["practice"] is False


def test_feedback_after_an_answer_lists_each_pair(exam: Project, alice: User, client_of: ClientOf) -> None:
    desk = client_of(alice)
    shown = next_of(desk)
    held = Assignment.objects.get(pk=shown["id"])
    best, middle, worst = (item for (item,) in held.task.gold_tiers or [])
    assert desk.get(url(held)).status_code == 204
    send(desk, shown, tiers=[[middle], [best, worst]])
    told = desk.get(url(held)).json()
    assert told["right_tiers"] == [[best], [middle], [worst]]
    assert told["tiers"] == [[middle], [best, worst]]
    said = {(pair["better"], pair["worse"]): pair["said"] for pair in told["pairs"]}
    assert said == {(best, middle): "wrong", (best, worst): "tied", (middle, worst): "right"}
    assert told["score"] == 0.5
    assert (told["passed"], told["attempt_score"], told["pass_mark"]) == (None, None, None)


@pytest.mark.parametrize("right", [True, False])
def test_feedback_on_the_last_answer_includes_the_result_of_the_attempt(
    exam: Project, alice: User, client_of: ClientOf, right: bool
) -> None:
    for _ in range(2):
        held = claim(exam, alice)
        answer(held, right=right)
    told = client_of(alice).get(url(held)).json()
    assert (told["passed"], told["attempt_score"], told["pass_mark"]) == (right, float(right), 0.75)
    assert told["attempts_left"] == (None if right else exam.qualification_attempts - 1)


def test_attempts_left_after_a_failed_attempt_include_granted_attempts(
    exam: Project, alice: User, client_of: ClientOf
) -> None:
    exam.qualification_attempts = 1
    exam.save()
    for _ in range(2):
        held = claim(exam, alice)
        answer(held, right=False)
    desk = client_of(alice)
    assert desk.get(url(held)).json()["attempts_left"] == 0
    membership.grant_attempt(member=Membership.objects.get(project=exam, user=alice))
    assert desk.get(url(held)).json()["attempts_left"] == 1


def test_feedback_of_another_annotator_is_not_found(
    exam: Project, alice: User, ben: User, client_of: ClientOf
) -> None:
    held = claim(exam, alice)
    answer(held)
    assert client_of(ben).get(url(held)).status_code == 404


def test_answer_with_feedback_cannot_be_revised(exam: Project, alice: User, client_of: ClientOf) -> None:
    desk = client_of(alice)
    shown = next_of(desk)
    send(desk, shown)
    refused = send(desk, shown, "revise", comment="I meant the other way round")
    assert (refused.status_code, refused.json()["type"]) == (409, "qualification-answered")
    assert desk.get("/api/v1/projects/support/assignments/last").status_code == 204


@pytest.mark.parametrize("kind", ["ranking", "gold", "attention"])
def test_hidden_checks_and_ranking_tasks_have_no_feedback(
    project: Project, tasks: list[RankingTask], alice: User, client_of: ClientOf, kind: str
) -> None:
    if kind != "ranking":
        for task in tasks:
            make_check(task, kind)
        Project.objects.filter(pk=project.pk).update(gold_rate=0, attention_rate=0)
        Project.objects.filter(pk=project.pk).update(**{f"{kind}_rate": 0.5})
        project.refresh_from_db()
        project.mixing_seed = _seed_that_asks(project, alice)
        project.save()
    desk = client_of(alice)
    shown = next_of(desk)
    before = desk.get(f"/api/v1/assignments/{shown['id']}/feedback")
    assert RankingTask.objects.get(pk=shown["task"]["id"]).kind == kind
    assert shown["practice"] is False
    send(desk, shown)
    after = desk.get(f"/api/v1/assignments/{shown['id']}/feedback")
    for told in (before, after):
        assert (told.status_code, told.content) == (204, b"")


def _seed_that_asks(project: Project, alice: User) -> object:
    """Returns a mixing seed with which the annotator's first task is a check."""
    from uuid import UUID

    from annotation.desk import allocation

    for number in range(1000):
        project.mixing_seed = UUID(int=number)
        if allocation._check_due(project, alice, turn=0) is not None:
            return project.mixing_seed
    raise AssertionError("no seed makes a check due")


@pytest.mark.parametrize("kind", ["gold", "attention", "ranking"])
def test_task_that_is_no_longer_practice_has_no_feedback(
    exam: Project, alice: User, client_of: ClientOf, kind: str
) -> None:
    held = claim(exam, alice)
    answer(held)
    assert client_of(alice).get(url(held)).status_code == 200
    checks.set_kind(task=held.task, kind=kind)
    assert client_of(alice).get(url(held)).status_code == 204


def test_answer_to_a_task_that_later_became_practice_has_no_feedback(
    project: Project, tasks: list[RankingTask], alice: User, client_of: ClientOf
) -> None:
    held = claim(project, alice)
    answer(held)
    make_check(RankingTask.objects.get(pk=held.task_id), "qualification")
    assert client_of(alice).get(url(held)).status_code == 204


def test_annotator_who_failed_sees_the_result_before_the_second_attempt(
    exam: Project, alice: User, client_of: ClientOf
) -> None:
    for _ in range(2):
        held = claim(exam, alice)
        answer(held, right=False)
    assert Membership.objects.get(user=alice).qualification_attempt == 2
    assert client_of(alice).get(url(held)).json()["passed"] is False
    assert next_of(client_of(alice))["practice"] is True
