from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db.models import Count
from rest_framework.test import APIClient

from annotation.api.refusals import QualificationFailed
from annotation.desk import allocation, checks
from annotation.models import Assignment, Membership, Project, RankingTask, User
from config.problems import Conflict
from tests.annotation.answering import claim, claim_next
from tests.annotation.desk.test_checks import answer, make_check

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]


@pytest.fixture
def exam(project: Project, add_tasks: AddTasks) -> Project:
    """Three qualification tasks and five ranking tasks with six responses each. The pass mark is half the
    points.

    With only three responses each, all three tasks would have the same order in both attempts once in 216
    runs. With six responses, this happens once in 370 million runs.
    """
    for task in add_tasks(project, 8, k=6)[:3]:
        make_check(task, "qualification")
    project.qualification_pass_mark = 0.5
    project.save()
    return project


def _attempt(project: Project, person: User, *right: bool) -> list[object]:
    given = []
    for answered_right in right:
        held = claim(project, person)
        assert held.task.kind == "qualification"
        given.append(held.task_id)
        answer(held, right=answered_right)
    return given


def test_annotator_who_passes_can_rank(exam: Project, alice: User) -> None:
    assert len(set(_attempt(exam, alice, True, True, False))) == 3
    member = Membership.objects.get(user=alice)
    assert member.qualified_at is not None
    assert claim(exam, alice).task.kind == "ranking"


def test_annotator_who_fails_gets_a_second_attempt(exam: Project, alice: User) -> None:
    first = _attempt(exam, alice, False, False, True)
    orders = {row.task_id: row.shown_order for row in Assignment.objects.filter(annotator=alice)}
    second = _attempt(exam, alice, True, True, True)
    assert sorted(first) == sorted(second)
    again = Assignment.objects.filter(annotator=alice, attempt=2)
    assert any(row.shown_order != orders[row.task_id] for row in again)
    assert claim(exam, alice).task.kind == "ranking"


def test_annotator_who_fails_twice_gets_the_reason(
    exam: Project, alice: User, ben: User, client_of: ClientOf
) -> None:
    _attempt(exam, alice, False, False, False)
    _attempt(exam, alice, False, False, True)
    for _ in range(2):
        refused = client_of(alice).post("/api/v1/projects/support/assignments/next")
        assert (refused.status_code, refused.json()["type"]) == (409, "qualification-failed")
        assert "any of your 2 attempts" in refused.json()["detail"]
    assert Membership.objects.get(user=alice).state == "active"
    _attempt(exam, ben, True, True, True)


def test_manager_grants_another_attempt(exam: Project, alice: User, mona: User, client_of: ClientOf) -> None:
    url = "/api/v1/projects/support/members/alice/attempts"
    early = client_of(mona).post(url)
    assert (early.status_code, early.json()["type"]) == (409, "not-failed")
    _attempt(exam, alice, False, False, False)
    _attempt(exam, alice, False, False, False)
    assert client_of(alice).post(url).status_code == 403
    granted = client_of(mona).post(url)
    assert (granted.status_code, granted.json()["extra_attempts"]) == (200, 1)
    _attempt(exam, alice, True, True, True)
    assert claim(exam, alice).task.kind == "ranking"
    assert client_of(mona).post("/api/v1/projects/support/members/nobody/attempts").status_code == 404


def test_skipped_qualification_task_is_scored_as_incorrect(exam: Project, alice: User) -> None:
    exam.skip_ways = ["others", "me"]
    exam.save()
    for _ in range(2):
        held = claim(exam, alice)
        allocation.skip_assignment(assignment=held, token=held.token)
    _attempt(exam, alice, True)  # 1 of 3 answers is correct
    member = Membership.objects.get(user=alice)
    assert (member.qualified_at, member.qualification_attempt) == (None, 2)


def test_deferred_qualification_task_comes_last(exam: Project, alice: User) -> None:
    held = claim(exam, alice)
    allocation.skip_assignment(assignment=held, token=held.token, way="me")
    assert _attempt(exam, alice, True, True, True)[-1] == held.task_id


def test_reviewers_and_managers_need_not_qualify(exam: Project, rita: User, mona: User) -> None:
    for person in (rita, mona):
        assert claim(exam, person).task.kind == "ranking"


def test_annotators_need_not_qualify_without_a_pass_mark_or_qualification_tasks(
    exam: Project, alice: User, ben: User
) -> None:
    exam.qualification_pass_mark = None
    exam.save()
    assert claim(exam, alice).task.kind == "ranking"
    exam.qualification_pass_mark = 0.5
    exam.save()
    RankingTask.objects.filter(kind="qualification").update(state="dropped")
    assert claim(exam, ben).task.kind == "ranking"


def test_attempt_whose_tasks_were_removed_is_judged_by_its_answers(exam: Project, alice: User) -> None:
    (first,) = _attempt(exam, alice, True)
    RankingTask.objects.filter(kind="qualification").exclude(pk=first).update(state="dropped")
    assert claim(exam, alice).task.kind == "ranking"
    assert Membership.objects.get(user=alice).qualified_at is not None


def test_qualification_does_not_count_towards_caps_or_minimum_accuracy(exam: Project, alice: User) -> None:
    exam.max_per_annotator = 1
    exam.gold_minimum_accuracy, exam.gold_minimum_answers = 0.9, 1
    exam.save()
    _attempt(exam, alice, True, True, False)
    held = claim(exam, alice)
    assert held.task.kind == "ranking"
    answer(held)
    with pytest.raises(Conflict):
        claim_next(project=exam, annotator=alice)
    assert Membership.objects.get(user=alice).state == "active"


def test_number_of_attempts_is_configurable(exam: Project, alice: User) -> None:
    exam.qualification_attempts = 1
    exam.save()
    _attempt(exam, alice, False, False, False)
    with pytest.raises(QualificationFailed, match="your only attempt"):
        claim_next(project=exam, annotator=alice)


def test_task_answered_in_two_attempts_remains_a_check(exam: Project, alice: User) -> None:
    for _ in range(4):
        answer(claim(exam, alice), right=False)
    answered = Assignment.objects.filter(annotator=alice, state="submitted").values("task")
    task = RankingTask.objects.get(pk=answered.annotate(n=Count("pk")).filter(n=2)[0]["task"])
    with pytest.raises(Conflict, match="more than one qualification attempt"):
        checks.set_kind(task=task, kind="ranking")
    task.refresh_from_db()
    assert task.kind == "qualification"


@pytest.fixture
def short_exam(project: Project, add_tasks: AddTasks) -> Project:
    """Five qualification tasks, two per attempt, and three ranking tasks."""
    for task in add_tasks(project, 8)[:5]:
        make_check(task, "qualification")
    project.qualification_pass_mark, project.qualification_tasks = 0.6, 2
    project.qualification_attempts = 4
    project.save()
    return project


def test_another_attempt_starts_with_unseen_tasks(short_exam: Project, alice: User) -> None:
    first, second = (_attempt(short_exam, alice, False, True) for _ in range(2))
    assert len({*first, *second}) == 4
    third = _attempt(short_exam, alice, False, False)
    assert len({*first, *second, *third}) == 5
    asked_twice = {*third} & {*first, *second}
    assert not asked_twice & {*_attempt(short_exam, alice, True, True)}
    assert claim(short_exam, alice).task.kind == "ranking"


def test_released_qualification_task_returns_to_its_annotator(short_exam: Project, alice: User) -> None:
    for _ in range(2):
        _attempt(short_exam, alice, False, True)
    held = claim(short_exam, alice)
    allocation.release_lease(assignment=held, token=held.token)
    assert claim(short_exam, alice).task_id == held.task_id


def test_prefetched_tasks_belong_to_the_attempt(short_exam: Project, alice: User) -> None:
    leases = allocation.claim_tasks(project=short_exam, annotator=alice, prefetch=2)
    assert [lease.attempt for lease in leases] == [1, 1]
    for lease in leases:
        answer(lease, right=False)
    assert Membership.objects.get(user=alice).qualification_attempt == 2


def test_deferred_task_keeps_its_place_in_the_attempt_until_the_task_is_dropped(
    short_exam: Project, alice: User
) -> None:
    held = claim(short_exam, alice)
    allocation.skip_assignment(assignment=held, token=held.token, way="me")
    (other,) = _attempt(short_exam, alice, True)
    again = claim(short_exam, alice)
    assert again.task_id == held.task_id != other
    allocation.skip_assignment(assignment=again, token=again.token, way="me")
    RankingTask.objects.filter(pk=held.task_id).update(state="dropped")
    _attempt(short_exam, alice, True)
    assert Membership.objects.get(user=alice).qualified_at is not None


def test_desk_shows_remaining_tasks_of_a_short_attempt(
    short_exam: Project, alice: User, client_of: ClientOf
) -> None:
    for left in (2, 1):
        figures = client_of(alice).get("/api/v1/projects/support/assignments/mine").json()
        assert (figures["qualification"]["tasks"], figures["qualification"]["left"]) == (2, left)
        _attempt(short_exam, alice, True)
    assert client_of(alice).get("/api/v1/projects/support/assignments/mine").json()["qualification"] is None


def test_attempt_shortened_midway_is_judged_by_its_answers(
    exam: Project, alice: User, mona: User, client_of: ClientOf
) -> None:
    _attempt(exam, alice, True, True)
    changed = client_of(mona).patch("/api/v1/projects/support/", {"checks": {"qualification_tasks": 1}})
    assert changed.json()["checks"]["qualification_tasks"] == 1
    exam.refresh_from_db()
    assert claim(exam, alice).task.kind == "ranking"
