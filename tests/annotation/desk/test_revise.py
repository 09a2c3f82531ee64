from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.models import Comparison, Project, Ranking, RankingTask, User
from tests.annotation.answering import next_of, send, wrong_fields

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def test_revised_answer_is_superseded_and_kept(desk: APIClient) -> None:
    shown = next_of(desk)
    first = send(desk, shown).json()["id"]
    turned = [[response["id"]] for response in reversed(shown["responses"])]
    response = send(desk, shown, "revise", tiers=turned)
    assert response.status_code == 201
    assert Ranking.objects.count() == 2
    current = Ranking.objects.current().get()
    assert (str(current.pk), str(current.supersedes_id)) == (response.json()["id"], first)
    assert current.tiers == turned
    assert Comparison.objects.count() == 6
    assert set(Comparison.objects.current().values_list("ranking", flat=True)) == {current.pk}
    task = RankingTask.objects.get(pk=shown["task"]["id"])
    assert (task.state, task.answered) == ("done", 1)


def test_each_revision_supersedes_the_previous_one(desk: APIClient) -> None:
    shown = next_of(desk)
    send(desk, shown)
    for comment in ("one", "two", "three"):
        assert send(desk, shown, "revise", comment=comment).status_code == 201
    assert Ranking.objects.current().get().comment == "three"
    assert Ranking.objects.count() == 4


def test_unchanged_revision_writes_nothing(desk: APIClient) -> None:
    shown = next_of(desk)
    first = send(desk, shown)
    again = send(desk, shown, "revise", duration_ms=99_000)
    assert (again.status_code, again.json()) == (200, first.json())
    assert Ranking.objects.count() == 1


def test_annotators_can_revise_only_their_own_submitted_answers(
    desk: APIClient, ben: User, client_of: ClientOf
) -> None:
    shown = next_of(desk)
    assert send(desk, shown, "revise").status_code == 409
    send(desk, shown)
    assert send(client_of(ben), shown, "revise", comment="I know better").status_code == 404
    assert Ranking.objects.count() == 1


def test_revision_is_checked_like_an_answer(desk: APIClient) -> None:
    shown = next_of(desk)
    send(desk, shown)
    response = send(desk, shown, "revise", tiers=[])
    assert (response.status_code, wrong_fields(response)) == (422, ["tiers"])
    assert Ranking.objects.count() == 1


def test_paused_annotator_can_neither_claim_nor_revise(
    desk: APIClient, project: Project, alice: User
) -> None:
    shown = next_of(desk)
    send(desk, shown)
    add_member(project=project, user=alice, role="annotator", state="paused")
    for refused in (
        send(desk, shown, "revise", comment="more"),
        desk.post("/api/v1/projects/support/assignments/next"),
    ):
        assert (refused.status_code, refused.json()["type"]) == (409, "annotator-paused")
