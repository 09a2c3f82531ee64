"""Every endpoint for every role, from the same table that the views ask (annotation/permissions.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver
from django.urls.resolvers import URLResolver
from rest_framework.test import APIClient

from annotation.api import urls
from annotation.api.assignments import AssignmentView
from annotation.api.base import ProjectView
from annotation.models import Project, RankingTask, User
from annotation.models.project import Role
from annotation.permissions import ALLOWED, Action
from tests.annotation.answering import next_of

ClientOf = Callable[[User | None], APIClient]

PROJECT_ROUTES: list[tuple[str, str, Action]] = [
    (f"/api/v1/{route.pattern}".replace("<slug:slug>", "support"), method, action)
    for route in urls.urlpatterns
    if issubclass(view := getattr(route.callback, "view_class", object), ProjectView)
    for method, action in view.actions.items()
]
PEOPLE = {
    "alice": Role.ANNOTATOR,
    "rita": Role.REVIEWER,
    "mona": Role.MANAGER,
}


@pytest.fixture
def people(project: Project, ada: User, oscar: User, tasks: list[RankingTask]) -> dict[str, User]:
    return {user.username: user for user in User.objects.all()}


def _status(client: APIClient, method: str, url: str) -> int:
    return int(client.generic(method, url, b"{}", content_type="application/json").status_code)


def _let_in(status: int) -> bool:
    """Done, or refused for what was sent: not for who sent it."""
    return status < 500 and status not in (401, 403, 404, 405)


@pytest.mark.parametrize(("url", "method", "action"), PROJECT_ROUTES)
def test_a_role_may_what_the_table_says_and_no_more(
    people: dict[str, User], client_of: ClientOf, url: str, method: str, action: Action
) -> None:
    for name, role in PEOPLE.items():
        status = _status(client_of(people[name]), method, url)
        if role in ALLOWED[action]:
            assert _let_in(status), (name, status)
        else:
            assert status == 403, (name, status)
    status = _status(client_of(people["ada"]), method, url)
    assert _let_in(status), ("ada", status)


@pytest.mark.parametrize(("url", "method", "action"), PROJECT_ROUTES)
def test_to_an_outsider_the_project_does_not_exist_and_a_stranger_must_log_in(
    people: dict[str, User], client_of: ClientOf, url: str, method: str, action: Action
) -> None:
    assert _status(client_of(people["oscar"]), method, url) == 404
    assert _status(client_of(None), method, url) == 401


def test_someone_paused_is_an_outsider(
    people: dict[str, User], project: Project, client_of: ClientOf
) -> None:
    project.memberships.filter(user=people["mona"]).update(state="paused")
    assert client_of(people["mona"]).get("/api/v1/projects/support/").status_code == 404
    assert client_of(people["mona"]).get("/api/v1/projects/").json()["results"] == []


def _assignment_routes() -> list[tuple[str, str]]:
    return [
        (str(route.pattern), "PUT" if hasattr(view, "put") else "POST")
        for route in urls.urlpatterns
        if issubclass(view := getattr(route.callback, "view_class", object), AssignmentView)
    ]


@pytest.mark.parametrize(("route", "method"), _assignment_routes())
def test_an_assignment_exists_for_its_annotator_alone(
    people: dict[str, User], client_of: ClientOf, route: str, method: str
) -> None:
    id = next_of(client_of(people["alice"]))["id"]
    url = f"/api/v1/{route}".replace("<uuid:id>", id)
    for name in ("ben", "rita", "mona", "ada", "oscar"):
        assert _status(client_of(people[name]), method, url) == 404, name
    assert _status(client_of(None), method, url) == 401
    assert _status(client_of(people["alice"]), method, url) in (409, 422)


def test_only_an_admin_makes_projects(people: dict[str, User], client_of: ClientOf) -> None:
    for name in ("alice", "rita", "mona", "oscar"):
        body = {"slug": f"of-{name}"}
        assert client_of(people[name]).post("/api/v1/projects/", body).status_code == 403
    assert client_of(people["ada"]).post("/api/v1/projects/", {"slug": "of-ada"}).status_code == 201
    assert client_of(None).get("/api/v1/projects/").status_code == 401


def test_no_view_of_the_api_is_open_to_strangers_but_the_log_in(db: None, client_of: ClientOf) -> None:
    """Over all routes, those of other packages included: a new view is closed unless it is named here."""
    opened = {"/api/v1/auth/login", "/api/schema/", "/healthz"}
    zero = "00000000-0000-0000-0000-000000000000"
    for route in _all_routes(get_resolver()):
        url = "/" + route.replace("<slug:slug>", "x").replace("<uuid:id>", zero)
        if not url.startswith("/api/") or url in opened or "<" in url:
            continue
        statuses = {_status(client_of(None), method, url) for method in ("GET", "POST", "PUT", "PATCH")}
        assert statuses <= {401, 405}, (url, statuses)


def _all_routes(resolver: Any, prefix: str = "") -> list[str]:
    found: list[str] = []
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            found += _all_routes(entry, f"{prefix}{entry.pattern}")
        elif isinstance(entry, URLPattern):
            found.append(f"{prefix}{entry.pattern}")
    return found
