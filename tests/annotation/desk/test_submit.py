from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.desk import allocation, membership
from annotation.models import Assignment, Comparison, Project, Ranking, RankingTask, Response, User
from tests.annotation.answering import claim_next, next_of, send, wrong_fields

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def _ids(assignment: dict[str, list[dict[str, str]]]) -> list[str]:
    return [response["id"] for response in assignment["responses"]]


def test_answer_is_stored_with_its_comparisons(desk: APIClient, alice: User) -> None:
    shown = next_of(desk)
    a, b, c = _ids(shown)
    response = send(desk, shown, tiers=[[b], [a, c]], flags={c: ["unsafe"]}, comment="b answers it")
    assert response.status_code == 201
    ranking = Ranking.objects.get()
    assert response.json() == {"id": str(ranking.pk)}
    assert (ranking.annotator, ranking.source, ranking.duration_ms, ranking.touched) == (
        alice,
        "browser",
        12_000,
        True,
    )
    assert [str(id) for id in ranking.shown_order] == [a, b, c]
    assert (ranking.tiers, ranking.flags, ranking.comment) == ([[b], [a, c]], {c: ["unsafe"]}, "b answers it")
    pairs = Comparison.objects.order_by("is_tie", "id").values_list("preferred", "other", "is_tie")
    assert [(str(one), str(two), tie) for one, two, tie in pairs] == [
        (b, a, False),
        (b, c, False),
        (a, c, True),
    ]


def test_answer_submitted_with_a_token_has_api_as_its_source(
    alice: User, project: Project, tasks: list[RankingTask]
) -> None:
    api = APIClient(headers={"Authorization": f"Bearer {create_token(user=alice, name='t')[1]}"})
    assert send(api, next_of(api)).status_code == 201
    assert Ranking.objects.get().source == "api"


def test_strength_applies_to_the_first_two_tiers(desk: APIClient, project: Project) -> None:
    project.form["strength"] = {"levels": [{"value": 1, "label": "slightly"}, {"value": 2, "label": "much"}]}
    project.save()
    shown = next_of(desk)
    a, b, c = _ids(shown)
    assert send(desk, shown, tiers=[[a], [b], [c]], strength=2).status_code == 201
    graded = Comparison.objects.exclude(strength=None).values_list("preferred", "other", "strength")
    assert [(str(one), str(two), level) for one, two, level in graded] == [(a, b, 2)]


def test_answer_marked_not_rankable_has_no_comparisons(desk: APIClient) -> None:
    assert send(desk, next_of(desk), tiers=[], not_rankable=True).status_code == 201
    assert Ranking.objects.get().not_rankable
    assert not Comparison.objects.exists()


def test_answer_in_the_shown_order_is_marked_as_untouched(desk: APIClient) -> None:
    assert send(desk, next_of(desk), touched=False).status_code == 201
    assert Ranking.objects.get().touched is False


def test_task_is_done_when_its_overlap_is_reached(
    project: Project,
    add_tasks: Callable[..., list[RankingTask]],
    alice: User,
    ben: User,
    client_of: ClientOf,
) -> None:
    add_tasks(project, 1, overlap=2)
    for person, state in ((alice, "open"), (ben, "done")):
        send(client_of(person), next_of(client_of(person)))
        assert RankingTask.objects.get().state == state


def test_repeated_key_and_answer_return_the_same_ranking(desk: APIClient) -> None:
    shown = next_of(desk)
    first, second = (send(desk, shown, key="k-1") for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert Ranking.objects.count() == 1


def test_repeated_key_with_a_different_answer_is_refused(desk: APIClient) -> None:
    shown = next_of(desk)
    send(desk, shown, key="k-1")
    response = send(desk, shown, key="k-1", comment="and another thing")
    assert response.status_code == 422
    assert wrong_fields(response) == ["Idempotency-Key"]
    assert Ranking.objects.get().comment == ""


@pytest.mark.parametrize("key", ["", "another"])
def test_second_submit_is_a_conflict(desk: APIClient, key: str) -> None:
    shown = next_of(desk)
    send(desk, shown, key="k-1")
    response = send(desk, shown, key=key)
    assert (response.status_code, response.json()["type"]) == (409, "already-answered")
    assert Ranking.objects.count() == 1


@pytest.mark.parametrize("swept", [False, True])
def test_answer_after_the_lease_has_ended_is_a_conflict_and_kept_as_a_draft(
    desk: APIClient, swept: bool
) -> None:
    shown = next_of(desk)
    past = timezone.now() - timedelta(hours=1)
    Assignment.objects.update(expires_at=past, **({"state": "expired"} if swept else {}))
    response = send(desk, shown, comment="two minutes of work")
    assert (response.status_code, response.json()["type"]) == (409, "lease-lost")
    assert not Ranking.objects.exists()
    again = next_of(desk)
    assert again["draft"]["comment"] == "two minutes of work"
    assert again["draft"]["tiers"] == [[id] for id in _ids(shown)]
    assert send(desk, again).status_code == 201


def test_answer_with_an_old_token_does_not_overwrite_the_newer_draft(desk: APIClient) -> None:
    old = next_of(desk)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    new = next_of(desk)
    draft = {"token": new["token"], "version": new["draft_version"], "draft": {"comment": "newer"}}
    assert desk.put(f"/api/v1/assignments/{new['id']}/draft", draft).status_code == 200
    response = send(desk, old, comment="older")
    assert response.status_code == 409
    assert Assignment.objects.get().draft == {"comment": "newer"}


def test_lease_of_another_annotator_is_not_found(desk: APIClient, ben: User, client_of: ClientOf) -> None:
    shown = next_of(desk)
    assert send(client_of(ben), shown).status_code == 404
    assert not Ranking.objects.exists()


def test_refusal_of_an_invalid_answer_names_the_field_and_keeps_the_draft(
    desk: APIClient, tasks: list[RankingTask]
) -> None:
    shown = next_of(desk)
    a, b, c = _ids(shown)
    foreign = str(Response.objects.exclude(pk__in=[a, b, c]).first().pk)  # type: ignore[union-attr]
    for tiers, field in (
        ([[a], [b]], "tiers"),
        ([[a], [b], [c], [foreign]], "tiers.3.0"),
        ([[a], [b], [c], [a]], "tiers.3.0"),
        ([["x"], [b], [c]], "tiers.0.0"),
        ("abc", "tiers"),
        ([[a]] * 11, "tiers"),
    ):
        response = send(desk, shown, tiers=tiers)
        assert response.status_code == 422
        assert wrong_fields(response)[0] == field
    assert not Ranking.objects.exists()
    assert Assignment.objects.get().state == "leased"
    assert send(desk, shown).status_code == 201


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"token": None}, "token"),
        ({"token": "x"}, "token"),
        ({"strength": "very"}, "strength"),
        ({"strength": 10**30}, "strength"),
        ({"ratings": {"x": {}}}, "ratings.x"),
        ({"ratings": []}, "ratings"),
        ({"flags": {str(uuid4()): "unsafe"}}, "flags"),
        ({"comment": "x" * 10_001}, "comment"),
        ({"comment": "nul \x00"}, "comment"),
        ({"choices": []}, "choices"),
        ({"choices": {"mood": {}}}, "choices.mood"),
        ({"choices": {f"q{n}": "x" for n in range(31)}}, "choices"),
        ({"choices": {"mood": "good"}}, "choices.mood"),
        ({"confidence": "sure"}, "confidence"),
        ({"confidence": 1}, "confidence"),
        ({"all_bad": "perhaps"}, "all_bad"),
        ({"all_bad": True}, "all_bad"),
        ({"ratings": {str(uuid4()): {}}}, "ratings."),
        ({"ratings": {str(uuid4()): {f"s{n}": 1 for n in range(31)}}}, "ratings."),
        ({"flags": {str(uuid4()): ["unsafe"] * 31}}, "flags."),
        ({"rewrite": "x" * 100_001}, "rewrite"),
        ({"duration_ms": 10**40}, "duration_ms"),
        ({"not_rankable": "perhaps"}, "not_rankable"),
    ],
)
def test_malformed_answers_are_refused_without_a_server_error(
    desk: APIClient, changes: dict[str, object], field: str
) -> None:
    response = send(desk, next_of(desk), **changes)
    assert response.status_code in (400, 422), response.content
    assert not field or wrong_fields(response)[0].startswith(field)
    assert not Ranking.objects.exists()


def test_overlong_idempotency_key_is_refused(desk: APIClient) -> None:
    assert wrong_fields(send(desk, next_of(desk), key="k" * 201)) == ["Idempotency-Key"]


def test_open_lease_can_be_answered_while_the_project_is_paused(desk: APIClient, project: Project) -> None:
    shown = next_of(desk)
    project.state = "paused"
    project.save()
    assert send(desk, shown).status_code == 201
    response = desk.post("/api/v1/projects/support/assignments/next")
    assert (response.status_code, response.json()["type"]) == (409, "project-not-active")
    assert "paused" in response.json()["detail"]


def test_answer_of_a_paused_annotator_is_kept_as_a_draft(
    desk: APIClient, project: Project, alice: User
) -> None:
    shown = next_of(desk)
    member = project.memberships.get(user=alice)
    membership.pause(member=member, reason="On leave.")
    a, b, c = _ids(shown)
    refused = send(desk, shown, tiers=[[c], [b], [a]], comment="c is best")
    assert (refused.status_code, refused.json()["type"]) == (409, "annotator-paused")
    assert not Ranking.objects.exists()
    membership.resume(member=member)
    again = next_of(desk)
    assert again["id"] == shown["id"]
    assert (again["draft"]["tiers"], again["draft"]["comment"]) == ([[c], [b], [a]], "c is best")


def test_claim_returns_204_when_no_task_is_left(desk: APIClient) -> None:
    RankingTask.objects.update(state="dropped")
    assert desk.post("/api/v1/projects/support/assignments/next").status_code == 204


def test_annotators_do_not_see_model_names(desk: APIClient) -> None:
    response = desk.post("/api/v1/projects/support/assignments/next")
    assert b"model" not in response.content
    assert set(response.json()["responses"][0]) == {"id", "text"}


def test_claim_and_submit_need_a_constant_number_of_queries(
    project: Project,
    add_tasks: Callable[..., list[RankingTask]],
    alice: User,
    client_of: ClientOf,
    django_assert_max_num_queries: Callable[[int], object],
) -> None:
    add_tasks(project, 40, k=9)
    desk = client_of(alice)
    for _ in range(3):
        # Queries: session, user, project, savepoint, desk data, claim, release of the savepoint, assignment
        # with task, responses.
        with django_assert_max_num_queries(9):
            shown = next_of(desk)
        # Queries: session, user, assignment, membership, savepoint, lease, ranking with its pairs, release of
        # the savepoint.
        with django_assert_max_num_queries(10):
            send(desk, shown)


def test_late_answer_to_a_full_task_is_kept_as_a_draft(
    project: Project, add_tasks: Callable[..., list[RankingTask]], alice: User, ben: User, client_of: ClientOf
) -> None:
    add_tasks(project, 1)
    late, quick = client_of(alice), client_of(ben)
    shown = next_of(late)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    allocation.expire_leases()
    assert send(quick, next_of(quick)).status_code == 201
    stray = send(late, shown)
    assert (stray.status_code, stray.json()["type"]) == (409, "lease-lost")
    assert Ranking.objects.get().annotator == ben
    assert Assignment.objects.get(annotator=alice).draft["tiers"] == [[one] for one in _ids(shown)]


def test_archived_project_does_not_accept_answers_or_revisions(
    desk: APIClient, project: Project, alice: User
) -> None:
    shown = next_of(desk)
    assert send(desk, shown).status_code == 201
    held = claim_next(project=project, annotator=alice)
    assert held is not None
    # Archiving releases leases. This test changes only the state, as if archiving had missed one lease.
    Project.objects.filter(pk=project.pk).update(state="archived")
    backwards = [[one] for one in _ids(shown)[::-1]]
    refused = send(desk, shown, "revise", tiers=backwards)
    assert (refused.status_code, refused.json()["type"]) == (409, "project-archived")
    answer = {"token": str(held.token), "tiers": [[str(one)] for one in held.shown_order]}
    refused = desk.post(f"/api/v1/assignments/{held.pk}/submit", answer)
    assert (refused.status_code, refused.json()["type"]) == (409, "lease-lost")
    assert Assignment.objects.get(pk=held.pk).draft["tiers"] == answer["tiers"]
    assert Ranking.objects.count() == 1
