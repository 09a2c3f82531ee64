"""Who sees what, beyond what the walk through the whole table shows (tests/config/test_access_table.py)."""

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


def test_someone_paused_is_an_outsider(
    people: dict[str, User], project: Project, client_of: ClientOf
) -> None:
    project.memberships.filter(user=people["mona"]).update(state="paused")
    assert client_of(people["mona"]).get("/api/v1/projects/support/").status_code == 404
    assert client_of(people["mona"]).get("/api/v1/projects/").json()["results"] == []


def test_an_assignment_exists_for_its_annotator_alone(people: dict[str, User], client_of: ClientOf) -> None:
    shown = next_of(client_of(people["alice"]))
    for name in ("ben", "rita", "mona", "ada", "oscar"):
        assert send(client_of(people[name]), shown).status_code == 404, name
    assert send(client_of(people["alice"]), shown).status_code == 201


def test_only_an_admin_makes_projects(people: dict[str, User], client_of: ClientOf) -> None:
    for name in ("alice", "rita", "mona", "oscar"):
        body = {"slug": f"of-{name}"}
        assert client_of(people[name]).post("/api/v1/projects/", body).status_code == 403
    assert client_of(people["ada"]).post("/api/v1/projects/", {"slug": "of-ada"}).status_code == 201
    assert client_of(None).get("/api/v1/projects/").status_code == 401
