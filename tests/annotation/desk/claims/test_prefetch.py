from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.desk import allocation
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Project, RankingTask, User
from tests.annotation.answering import claim, next_of, send, strict_order, wrong_fields

ClientOf = Callable[[User | None], APIClient]
NEXT = "/api/v1/projects/support/assignments/next"


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def test_claim_without_prefetching_leases_one_task(desk: APIClient) -> None:
    assert next_of(desk)["prefetched"] == []
    assert Assignment.objects.count() == 1


def test_prefetched_tasks_are_in_queue_order(desk: APIClient, tasks: list[RankingTask]) -> None:
    shown = desk.post(NEXT, {"prefetch": 2}).json()
    assert [shown["task"]["id"], *(one["task"]["id"] for one in shown["prefetched"])] == [
        str(task.pk) for task in tasks[:3]
    ]
    assert set(shown["prefetched"][0]) == set(shown) - {"prefetched"}
    assert next_of(desk)["id"] == shown["id"]
    for after in shown["prefetched"]:
        assert send(desk, shown).status_code == 201
        shown = next_of(desk)
        assert (shown["id"], shown["token"]) == (after["id"], after["token"])


def test_repeated_request_returns_the_same_leases_and_adds_missing_ones(desk: APIClient) -> None:
    one = desk.post(NEXT, {"prefetch": 1}).json()
    two = desk.post(NEXT, {"prefetch": 2}).json()
    assert two["prefetched"][0]["id"] == one["prefetched"][0]["id"]
    assert two["id"] == one["id"]
    assert len(two["prefetched"]) == 2
    assert sorted(Assignment.objects.leased().values_list("place", flat=True)) == [0, 1, 2]


def test_prefetched_lease_behaves_like_any_other_lease(desk: APIClient) -> None:
    first, second = desk.post(NEXT, {"prefetch": 2}).json()["prefetched"]
    assert send(desk, first).status_code == 201
    url = f"/api/v1/assignments/{second['id']}"
    assert desk.post(f"{url}/heartbeat", {"token": second["token"]}).status_code == 200
    assert desk.post(f"{url}/release", {"token": second["token"]}).status_code == 204
    assert Assignment.objects.leased().count() == 1
    desk.post(NEXT, {"prefetch": 2})
    Assignment.objects.leased().filter(place__gt=0).update(expires_at=timezone.now() - timedelta(hours=1))
    assert allocation.expire_leases() == 2
    assert Assignment.objects.leased().count() == 1


def test_claim_without_prefetching_does_not_renew_prefetched_leases(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    allocation.claim_tasks(project=project, annotator=alice, prefetch=1)
    soon = timezone.now() + timedelta(seconds=5)
    Assignment.objects.update(expires_at=soon)
    claim(project, alice)
    assert Assignment.objects.filter(expires_at=soon).count() == 1
    allocation.claim_tasks(project=project, annotator=alice, prefetch=1)
    assert not Assignment.objects.filter(expires_at=soon).exists()


@pytest.mark.parametrize("wrong", [-1, 3, "many"])
def test_at_most_two_tasks_are_prefetched(desk: APIClient, wrong: object) -> None:
    response = desk.post(NEXT, {"prefetch": wrong})
    assert (response.status_code, wrong_fields(response)) == (422, ["prefetch"])


def test_pausing_a_project_releases_prefetched_leases(
    desk: APIClient, mona: User, client_of: ClientOf
) -> None:
    shown = desk.post(NEXT, {"prefetch": 2}).json()
    assert client_of(mona).patch("/api/v1/projects/support/", {"state": "paused"}).status_code == 200
    assert [str(pk) for pk in Assignment.objects.leased().values_list("pk", flat=True)] == [shown["id"]]
    again = desk.post(NEXT, {"prefetch": 2}).json()  # the current task can be finished, even after a reload
    assert (again["id"], again["prefetched"]) == (shown["id"], [])
    assert send(desk, shown).status_code == 201
    refused = desk.post(NEXT)
    assert (refused.status_code, refused.json()["type"]) == (409, "project-not-active")


def test_archiving_releases_all_leases_and_keeps_drafts(
    desk: APIClient, mona: User, client_of: ClientOf
) -> None:
    shown = next_of(desk)
    client_of(mona).patch("/api/v1/projects/support/", {"state": "archived"})
    refused = send(desk, shown)
    assert (refused.status_code, refused.json()["type"]) == (409, "lease-lost")
    kept = Assignment.objects.get()
    assert (kept.state, kept.draft is not None) == ("released", True)
    assert RankingTask.objects.filter(open_slots=1).count() == 4


def test_answering_in_any_order_never_repeats_a_task(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    given = []
    while held := allocation.claim_tasks(project=project, annotator=alice, prefetch=2):
        last = held[-1]
        submit_ranking(assignment=last, token=last.token, answer=strict_order(last.shown_order))
        given.append(last.task_id)
    assert sorted(given) == sorted(task.pk for task in tasks)
