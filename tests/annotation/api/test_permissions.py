"""Permissions that the test of the access table (tests/config/schema/test_access_table.py) doesn't cover."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from annotation.models import Project, RankingTask, User
from tests.annotation.answering import next_of, send

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def people(project: Project, ada: User, oscar: User, tasks: list[RankingTask]) -> dict[str, User]:
    return {user.username: user for user in User.objects.all()}


def test_paused_member_can_see_the_project_but_not_act_in_it(
    people: dict[str, User], project: Project, client_of: ClientOf
) -> None:
    project.memberships.filter(user=people["mona"]).update(state="paused", paused_reason="On leave.")
    mona = client_of(people["mona"])
    shown = mona.get("/api/v1/projects/support/").json()
    assert (shown["role"], shown["member_state"], shown["paused_reason"]) == (
        "manager",
        "paused",
        "On leave.",
    )
    assert [project["slug"] for project in mona.get("/api/v1/projects/").json()["results"]] == ["support"]
    assert mona.patch("/api/v1/projects/support/", {"name": "Mine"}).status_code == 403
    assert mona.get("/api/v1/projects/support/progress/").status_code == 403
    refused = mona.post("/api/v1/projects/support/assignments/next")
    assert (refused.status_code, refused.json()["type"]) == (409, "annotator-paused")
    assert "On leave." in refused.json()["detail"]


def test_assignment_is_visible_only_to_its_annotator(people: dict[str, User], client_of: ClientOf) -> None:
    shown = next_of(client_of(people["alice"]))
    for name in ("ben", "rita", "mona", "ada", "oscar"):
        assert send(client_of(people[name]), shown).status_code == 404, name
    assert send(client_of(people["alice"]), shown).status_code == 201
