"""Excluding an annotator deletes nothing and takes effect immediately, and the exclusion can be lifted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from rest_framework.test import APIClient

from annotation.api.refusals import LeaseLost
from annotation.datasets.snapshots import freeze_snapshot
from annotation.desk.submission import submit_ranking
from annotation.models import (
    Assignment,
    Comparison,
    Exclusion,
    Membership,
    Project,
    Ranking,
    RankingTask,
    User,
)
from annotation.oversight import exclusion, exclusion_preview, progress
from annotation.oversight.exclusion import Who, exclude_annotator, lift_exclusion
from annotation.oversight.leaderboard import leaderboard
from annotation.projects.projects import update_project
from config.problems import Conflict, Problem
from tests.annotation.answering import claim, claim_next, strict_order

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]


def _answer(project: Project, annotator: User, backwards: bool = False) -> Ranking:
    assignment = claim(project, annotator)
    answer = strict_order(assignment.shown_order[::-1] if backwards else assignment.shown_order)
    return submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[0]


def _slots() -> list[tuple[int, int, int, str]]:
    columns = ("overlap", "open_slots", "answered", "state")
    return list(RankingTask.objects.order_by("id").values_list(*columns))


def _exclude(project: Project, annotator: User) -> Exclusion:
    return exclude_annotator(project=project, who=Who(annotator=annotator), reason="straight-lining")


def test_preview_of_an_exclusion_matches_its_effect(
    project: Project, tasks: list[RankingTask], alice: User, ben: User, mona: User, client_of: ClientOf
) -> None:
    for _ in range(2):
        _answer(project, alice)
    _answer(project, ben)
    claim(project, alice)
    freeze_snapshot(project=project, name="before")
    client = client_of(mona)
    before = client.post("/api/v1/projects/support/exclusions/preview", {"username": "alice"})
    assert before.json() == {
        "rankings": 2,
        "comparisons": 6,
        "reviews": 0,
        "tasks_reopening": 2,
        "leases": 1,
        "snapshots": 1,
    }
    assert Ranking.objects.counted().count() == 3
    assert progress.progress(project=project).rankings == 3
    body = {"username": "alice", "reason": "straight-lining"}
    made = client.post("/api/v1/projects/support/exclusions/", body)
    assert made.status_code == 201, made.content
    assert (made.json()["username"], made.json()["created_by"]) == ("alice", "mona")
    assert Ranking.objects.count() == 3
    assert Comparison.objects.count() == 9
    assert Ranking.objects.counted().count() == 1
    assert progress.progress(project=project).rankings == 1
    assert sum(standing.wins for standing in leaderboard(project=project).standings) == 3
    assert RankingTask.objects.filter(state="open", open_slots=1).count() == 3
    assert freeze_snapshot(project=project, name="after").rows == 1
    member = Membership.objects.get(project=project, user=alice)
    assert (member.state, member.paused_reason) == ("paused", exclusion.PAUSED_REASON)
    assert not Assignment.objects.filter(annotator=alice, state="leased").exists()


def test_lifting_an_exclusion_restores_everything(
    project: Project, tasks: list[RankingTask], alice: User, mona: User, client_of: ClientOf
) -> None:
    for _ in range(3):
        _answer(project, alice)
    before = (_slots(), progress.progress(project=project), leaderboard(project=project))
    made = _exclude(project, alice)
    assert _slots() != before[0]
    assert leaderboard(project=project).standings == []
    client = client_of(mona)
    preview = f"/api/v1/exclusions/{made.pk}/lift/preview"
    effect = {"rankings": 3, "comparisons": 9, "reviews": 0, "tasks_with_more_overlap": 0}
    assert client.get(preview).json() == effect
    assert leaderboard(project=project).standings == [], "a preview changes nothing"
    lifted = client.post(f"/api/v1/exclusions/{made.pk}/lift")
    assert lifted.status_code == 200, lifted.content
    assert client.get(preview).json() == dict.fromkeys(effect, 0)
    assert lifted.json()["tasks_with_more_overlap"] == 0
    assert lifted.json()["exclusion"]["lifted_by"] == "mona"
    assert (_slots(), progress.progress(project=project), leaderboard(project=project)) == before
    member = Membership.objects.get(project=project, user=alice)
    assert (member.state, member.paused_reason) == ("active", "")
    again = client.post(f"/api/v1/exclusions/{made.pk}/lift")
    assert (again.status_code, again.json()["type"]) == (409, "already-lifted")
    listed = client.get("/api/v1/projects/support/exclusions/").json()["results"]
    assert [row["id"] for row in listed] == [str(made.pk)], "the lifted exclusion is kept as history"


def test_membership_paused_for_another_reason_stays_paused(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    Membership.objects.filter(user=alice).update(state="paused", paused_reason="on leave")
    lift_exclusion(exclusion=_exclude(project, alice))
    assert Membership.objects.get(user=alice).paused_reason == "on leave"
    assert Membership.objects.get(user=alice).state == "paused"


@pytest.mark.parametrize("finished", [True, False])
def test_lifting_an_exclusion_raises_the_overlap_if_the_slot_was_filled(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, finished: bool
) -> None:
    add_tasks(project, 1)
    _answer(project, alice)
    made = _exclude(project, alice)
    assert _slots() == [(1, 1, 0, "open")]
    held = claim(project, ben)
    if finished:
        submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
    assert exclusion_preview.effect_of_lifting(exclusion=made).tasks_with_more_overlap == 1
    assert lift_exclusion(exclusion=made).tasks_with_more_overlap == 1
    assert _slots() == [(2, 0, 2, "done") if finished else (2, 0, 1, "open")]
    if not finished:
        submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
        assert _slots() == [(2, 0, 2, "done")]
    assert Ranking.objects.counted().count() == 2


def test_task_at_maximum_overlap_prevents_lifting_an_exclusion(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=50)
    _answer(project, alice)
    made = _exclude(project, alice)
    # Other annotators have filled or leased all slots.
    RankingTask.objects.filter(pk=task.pk).update(open_slots=0)
    with pytest.raises(Conflict, match="maximum number of answers"):
        lift_exclusion(exclusion=made)
    assert Exclusion.objects.standing().filter(pk=made.pk).exists()


def test_exclusion_in_an_archived_project_does_not_reopen_tasks(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    _answer(project, alice)
    Project.objects.update(state="archived")
    project.refresh_from_db()
    before = _slots()
    assert (
        exclusion_preview.effect_of_excluding(project=project, who=Who(annotator=alice)).tasks_reopening == 0
    )
    made = _exclude(project, alice)
    assert _slots() == before
    assert not Ranking.objects.counted().exists()
    lift_exclusion(exclusion=made)
    assert _slots() == before
    assert Ranking.objects.counted().count() == 1


def test_reactivating_an_archived_project_reopens_tasks_of_excluded_annotators(
    project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    for person in (alice, ben):
        _answer(project, person)
    before = _slots()
    update_project(project=project, changes={"state": "archived"})
    made = _exclude(project, alice)
    assert _slots() == before
    update_project(project=project, changes={"state": "active"})
    asked_again = RankingTask.objects.get(assignments__annotator=alice)
    assert (asked_again.state, asked_again.open_slots, asked_again.answered) == ("open", 1, 0)
    assert RankingTask.objects.get(assignments__annotator=ben).state == "done"
    lift_exclusion(exclusion=made)
    assert _slots() == before


def test_excluding_an_imported_name_does_not_reopen_tasks(
    project: Project, tasks: list[RankingTask], mona: User, client_of: ClientOf
) -> None:
    shown = list(tasks[3].responses.values_list("pk", flat=True))
    Ranking.objects.create(
        project=project,
        task=tasks[3],
        annotator_label="rater 7",
        source="import",
        import_key="7",
        shown_order=shown,
        tiers=[[str(id)] for id in shown],
        touched=True,
    )
    before = _slots()
    client = client_of(mona)
    who = {"annotator_label": "rater 7"}
    effect = client.post("/api/v1/projects/support/exclusions/preview", who).json()
    assert (effect["rankings"], effect["tasks_reopening"]) == (1, 0)
    made = client.post("/api/v1/projects/support/exclusions/", who | {"reason": "a bot"})
    assert (made.status_code, made.json()["annotator_label"]) == (201, "rater 7")
    assert not Ranking.objects.counted().exists()
    assert _slots() == before
    twice = client.post("/api/v1/projects/support/exclusions/", who | {"reason": "a bot"})
    assert (twice.status_code, twice.json()["type"]) == (409, "already-excluded")


def test_exclusion_needs_one_annotator_and_a_reason(
    project: Project, tasks: list[RankingTask], mona: User, oscar: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    for body, fields in (
        ({"reason": "x"}, ["username", "annotator_label"]),
        ({"reason": "x", "username": "alice", "annotator_label": "a"}, ["username", "annotator_label"]),
        ({"reason": "x", "username": "oscar"}, ["username"]),
        ({"reason": "x", "annotator_label": "nobody"}, ["annotator_label"]),
        ({"username": "alice"}, ["reason"]),
        ({"username": "alice", "reason": "  "}, ["reason"]),
    ):
        response = client.post("/api/v1/projects/support/exclusions/", body)
        assert response.status_code == 422, body
        assert [error["field"] for error in response.json()["errors"]] == fields
    me = client.post("/api/v1/projects/support/exclusions/", {"username": "mona", "reason": "x"})
    assert me.json()["type"] == "excludes-oneself"
    with pytest.raises(Problem):
        exclusion.who_is(project=project, label="rater 8")


def test_excluded_annotator_cannot_get_a_lease(
    project: Project, tasks: list[RankingTask], alice: User, mona: User, client_of: ClientOf
) -> None:
    made = _exclude(project, alice)
    client, body = client_of(mona), {"username": "alice", "role": "annotator", "state": "active"}
    refused = client.post("/api/v1/projects/support/members/", body)
    assert (refused.status_code, refused.json()["type"]) == (409, "excluded")
    lift_exclusion(exclusion=made)
    assert client.post("/api/v1/projects/support/members/", body).status_code == 200


def _at_once(*calls: Callable[[], Any]) -> list[Any]:
    barrier = threading.Barrier(len(calls), timeout=30)

    def run(call: Callable[[], Any]) -> Any:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            barrier.wait()
            return call()
        except (LeaseLost, Conflict) as refusal:
            return refusal
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(run, call) for call in calls]]


def _slots_add_up() -> None:
    for task in RankingTask.objects.all():
        submitted = task.assignments.filter(state="submitted").count()
        leased = task.assignments.filter(state="leased").count()
        assert task.answered == submitted
        assert task.open_slots == task.overlap - submitted - leased
        assert (task.state == "done") == (submitted >= task.overlap)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(8))
def test_claim_during_an_exclusion_leaves_no_lease(
    project: Project, tasks: list[RankingTask], alice: User, turn: int
) -> None:
    _at_once(
        lambda: claim_next(project=project, annotator=alice),
        lambda: _exclude(project, alice),
    )
    assert not Assignment.objects.filter(annotator=alice, state="leased").exists()
    _slots_add_up()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(8))
def test_answer_during_an_exclusion_becomes_an_uncounted_ranking_or_a_draft(
    project: Project, tasks: list[RankingTask], alice: User, turn: int
) -> None:
    held = claim(project, alice)
    answer = strict_order(held.shown_order)
    _at_once(
        lambda: submit_ranking(assignment=held, token=held.token, answer=answer),
        lambda: _exclude(project, alice),
    )
    held.refresh_from_db()
    assert not Ranking.objects.counted().exists()
    if Ranking.objects.exists():
        assert held.state == "excluded"
    else:
        assert (held.state, held.draft) == ("released", answer.to_json())
    _slots_add_up()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(8))
def test_claim_during_the_lifting_of_an_exclusion_does_not_exceed_the_overlap(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, turn: int
) -> None:
    add_tasks(project, 1)
    _answer(project, alice)
    made = _exclude(project, alice)
    claimed, lifted = _at_once(
        lambda: claim_next(project=project, annotator=ben),
        lambda: lift_exclusion(exclusion=made),
    )
    grown = lifted.tasks_with_more_overlap
    assert grown == (claimed is not None)
    (task,) = RankingTask.objects.all()
    assert (task.overlap, task.open_slots, task.answered) == (1 + grown, 0, 1)
    _slots_add_up()


@pytest.mark.django_db(transaction=True)
def test_two_annotators_who_share_tasks_can_be_excluded_concurrently(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    add_tasks(project, 10, overlap=2)
    for person in (alice, ben):
        for _ in range(10):
            _answer(project, person)
    for _ in range(3):
        made = _at_once(lambda: _exclude(project, alice), lambda: _exclude(project, ben))
        assert _slots() == [(2, 2, 0, "open")] * 10
        _at_once(*(lambda row=row: lift_exclusion(exclusion=row) for row in made))
        assert _slots() == [(2, 0, 2, "done")] * 10


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_concurrent_changes_to_an_exclusion_succeeds(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    results = _at_once(lambda: _exclude(project, alice), lambda: _exclude(project, alice))
    (made,) = [result for result in results if isinstance(result, Exclusion)]
    lifted = _at_once(lambda: lift_exclusion(exclusion=made), lambda: lift_exclusion(exclusion=made))
    assert len([result for result in lifted if isinstance(result, Conflict)]) == 1


def test_exclusion_list_needs_a_fixed_number_of_queries(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    ben: User,
    mona: User,
    client_of: ClientOf,
    django_assert_max_num_queries: Any,
) -> None:
    client = client_of(mona)
    client.get("/api/v1/projects/support/exclusions/")
    for person in (alice, ben):
        _exclude(project, person)
    with django_assert_max_num_queries(6):
        assert len(client.get("/api/v1/projects/support/exclusions/").json()["results"]) == 2
