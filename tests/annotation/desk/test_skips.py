from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from annotation.desk import allocation
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, AuditEntry, Project, RankingTask, User
from config.problems import Problem
from tests.annotation.answering import claim, claim_next, next_of, strict_order, wrong_fields

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def every_way(project: Project, tasks: list[RankingTask]) -> Project:
    project.skip_ways = ["others", "me", "drop"]
    project.save()
    return project


def _skip(project: Project, person: User, way: str | None) -> RankingTask:
    held = claim(project, person)
    allocation.skip_assignment(assignment=held, token=held.token, reason="why", way=way)
    return RankingTask.objects.get(pk=held.task_id)


def _rest(project: Project, person: User) -> list[object]:
    """Answers all tasks available to the annotator, and returns their IDs."""
    given = []
    while held := claim_next(project=project, annotator=person):
        given.append(held.task_id)
        submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
    return given


def test_task_left_to_others_never_returns_to_the_annotator_who_skipped_it(
    every_way: Project, alice: User, ben: User
) -> None:
    skipped = _skip(every_way, alice, "others")
    assert skipped.pk not in _rest(every_way, alice)
    assert _rest(every_way, ben) == [skipped.pk]


def test_deferred_task_returns_when_nothing_else_is_left(every_way: Project, alice: User) -> None:
    first = _skip(every_way, alice, "me")
    second = _skip(every_way, alice, "me")
    assert _rest(every_way, alice)[-2:] == [first.pk, second.pk]
    row = Assignment.objects.get(task=first)
    assert (row.state, row.skip_way) == ("submitted", "")


def test_deferred_task_is_available_to_other_annotators(every_way: Project, alice: User, ben: User) -> None:
    skipped = _skip(every_way, alice, "me")
    assert claim(every_way, ben).task_id == skipped.pk
    assert skipped.pk not in _rest(every_way, alice)


def test_dropped_task_is_assigned_to_nobody(every_way: Project, alice: User, ben: User) -> None:
    dropped = _skip(every_way, alice, "drop")
    assert (dropped.state, dropped.open_slots) == ("dropped", 1)
    assert dropped.pk not in _rest(every_way, ben) + _rest(every_way, alice)


def test_skip_without_a_chosen_way_uses_the_first_allowed_way(every_way: Project, alice: User) -> None:
    every_way.skip_ways = ["drop", "me"]
    every_way.save()
    assert _skip(every_way, alice, None).state == "dropped"


def test_disallowed_way_of_skipping_is_refused(
    project: Project, tasks: list[RankingTask], alice: User, client_of: ClientOf
) -> None:
    project.skip_ways = ["others"]
    project.save()
    desk = client_of(alice)
    shown = next_of(desk)
    for way in ("drop", "me", "away"):
        response = desk.post(f"/api/v1/assignments/{shown['id']}/skip", {"token": shown["token"], "way": way})
        assert (response.status_code, wrong_fields(response)) == (422, ["way"])
    assert Assignment.objects.get().state == "leased"
    with pytest.raises(Problem):
        allocation.skip_assignment(
            assignment=claim(project, alice), token=claim(project, alice).token, way="drop"
        )


def test_managers_change_the_allowed_ways_of_skipping(
    project: Project, alice: User, mona: User, client_of: ClientOf
) -> None:
    url = "/api/v1/projects/support/"
    assert client_of(alice).get(url).json()["skip_ways"] == ["others", "me"]
    changed = client_of(mona).patch(url, {"skip_ways": ["me", "drop"]})
    assert changed.json()["skip_ways"] == ["me", "drop"]
    for wrong in ([], ["me", "me"], ["away"]):
        assert client_of(mona).patch(url, {"skip_ways": wrong}).status_code == 422


def test_skip_stays_in_the_audit_log_when_the_task_returns(every_way: Project, alice: User) -> None:
    skipped = _skip(every_way, alice, "me")
    RankingTask.objects.filter(project=every_way).exclude(pk=skipped.pk).update(state="dropped")
    assert claim(every_way, alice).task_id == skipped.pk
    # The log is append-only and keeps the entries that other tests committed with real transactions. The
    # entries are therefore filtered by project.
    (entry,) = AuditEntry.objects.of_project(every_way).filter(table="annotation_assignment")
    assert (entry.before["state"], entry.after["state"]) == ("leased", "skipped")
    assert (entry.after["skip_reason"], entry.after["skip_way"]) == ("why", "me")
