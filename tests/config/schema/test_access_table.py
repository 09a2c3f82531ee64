"""Tests every combination of endpoint, method, user and token against the access table that the views use.

The table consists of the `endpoint(…)` lines in annotation/urls.py and training/urls.py and the rules in
annotation/api/permissions.py. New endpoints are covered automatically; an endpoint with an ID in its URL
needs an entry in `rows`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.urls import get_resolver, path
from pytest_django.fixtures import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, endpoint, lines
from annotation.api.permissions import RULES, Action, Who, scopes_for
from annotation.models import Project, User
from annotation.models.people import Scope
from annotation.models.project import Role
from annotation.projects.projects import create_project
from tests.annotation.answering import next_of, send
from tests.config.conftest import OWNER, Ids, url_of
from tests.config.schema.api_schema import api_schema

OPEN_FILES = {"api/schema/"}
TABLE = [line for line in lines(get_resolver()) if isinstance(line, Line)]
PEOPLE: dict[str, Role | None] = {
    "alice": Role.ANNOTATOR,
    "rita": Role.REVIEWER,
    "mona": Role.MANAGER,
    "ada": None,
    "oscar": None,
}


def _ask(client: APIClient, line: Line, rows: Ids) -> Response:
    """Sends an empty JSON object to the endpoint and returns the response. Any changes are rolled back."""
    with transaction.atomic():
        answer = client.generic(line.method, url_of(line, rows), b"{}", content_type="application/json")
        transaction.set_rollback(True)
    return answer


def _judged(status: int) -> str:
    """Returns the name of a request's outcome. `in` means that the user's permissions suffice, even if the
    request is refused for another reason."""
    refusals = {401: "must log in", 403: "may not", 404: "does not exist", 405: "no such method"}
    return refusals.get(status, "in") if status < 500 else f"error {status}"


def _expected(line: Line, name: str | None) -> str:
    rule = RULES[line.action]
    if rule.who is Who.ANYONE:
        return "in"
    if name is None:
        return "must log in"
    if rule.who is Who.LOGGED_IN:
        return "in"
    if rule.who is Who.OWNER:
        return "in" if name == OWNER else "does not exist"
    if name == "ada":
        return "in"
    role = PEOPLE[name]
    if rule.who is Who.ROLES_ANYWHERE:
        return "in" if role in rule.roles else "may not"
    if "<" not in line.route:
        return "may not"
    if role is None or role not in rule.known_to:
        return "does not exist"
    return "in" if role in rule.roles else "may not"


def test_each_user_has_exactly_the_access_in_the_table(
    people: dict[str, User], rows: Ids, client_of: Callable[[User | None], APIClient]
) -> None:
    for name in (*PEOPLE, None):
        cookies = client_of(people[name] if name else None).cookies
        for line in TABLE:
            # Each request uses a new client, because one endpoint logs the user out. Changes to the session
            # are rolled back.
            client = client_of(None)
            client.cookies.update(cookies)
            found = _judged(_ask(client, line, rows).status_code)
            assert found == _expected(line, name), (name, line)


def test_token_is_limited_to_its_scopes(people: dict[str, User], rows: Ids) -> None:
    able = {
        (name, scope): _with(create_token(user=people[name], name="script", scopes=[scope])[1])
        for name in (OWNER, "ada")
        for scope in Scope
    }
    for line in TABLE:
        rule = RULES[line.action]
        if rule.who is Who.ANYONE:
            continue
        for scope in Scope:
            client = able[OWNER if rule.who is Who.OWNER else "ada", scope]
            found = _judged(_ask(client, line, rows).status_code)
            assert found == ("in" if scope in scopes_for(line.action, line.method) else "may not"), (
                scope,
                line,
            )


def test_token_with_all_scopes_has_only_the_access_of_its_user(people: dict[str, User], rows: Ids) -> None:
    for name in ("alice", "oscar"):
        client = _with(create_token(user=people[name], name="script")[1])
        for line in TABLE:
            if RULES[line.action].who is not Who.ANYONE:
                expected = _expected(line, name) if scopes_for(line.action, line.method) else "may not"
                assert _judged(_ask(client, line, rows).status_code) == expected, (name, line)


def _with(token: str) -> APIClient:
    return APIClient(headers={"Authorization": f"Bearer {token}"})


def test_requests_for_hidden_and_missing_rows_get_the_same_response(
    people: dict[str, User], rows: Ids, client_of: Callable[[User | None], APIClient]
) -> None:
    nowhere: Ids = {
        word: UUID(int=7) if isinstance(value, UUID) else "no-such" for word, value in rows.items()
    }
    client = client_of(people["oscar"])
    for line in TABLE:
        if "<" in line.route and RULES[line.action].who is not Who.ANYONE:
            there, not_there = (_ask(client, line, ids) for ids in (rows, nowhere))
            bodies = [response.json() | {"request_id": ""} for response in (there, not_there)]
            assert there.status_code == not_there.status_code, line
            assert bodies[0] == bodies[1], line


def test_every_api_route_is_in_the_table() -> None:
    outside = {
        route for route in lines(get_resolver()) if isinstance(route, str) and route.startswith("api/")
    }
    assert outside == OPEN_FILES
    assert len(TABLE) >= 30


def test_schema_and_table_have_the_same_endpoints() -> None:
    schema = api_schema()
    described = {
        (url.lstrip("/"), method.upper()) for url, methods in schema["paths"].items() for method in methods
    }
    listed = {(re.sub(r"<\w+:(\w+)>", r"{\1}", line.route), line.method) for line in TABLE}
    assert described == listed


class _Left(APIView):
    def get(self, request: object) -> None:
        raise AssertionError("a request reached a view outside the table")

    post = get


def test_method_missing_from_the_table_prevents_startup() -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"_Left handles GET, POST, but the route's line in urls.py names GET"
    ):
        endpoint("left", _Left, GET=Action.WHO_AM_I)


urlpatterns = [path("left", _Left.as_view())]


def test_endpoint_outside_the_table_is_closed_to_everyone(
    ada: User, client_of: Callable[[User | None], APIClient], settings: Settings
) -> None:
    settings.ROOT_URLCONF = __name__
    for person in (ada, None):
        assert client_of(person).get("/left").status_code in (401, 403)


def test_options_requests_are_refused(
    people: dict[str, User], rows: Ids, client_of: Callable[[User | None], APIClient]
) -> None:
    for line in TABLE:
        assert client_of(people["ada"]).options(url_of(line, rows)).status_code in (403, 404, 405), line


SECRET = "only ben and reviewers can read this"


def test_annotators_never_see_answers_of_other_annotators(
    people: dict[str, User], rows: Ids, project: Project, client_of: Callable[[User | None], APIClient]
) -> None:
    """No endpoint shows an annotator the comment or the name of another annotator."""
    bens = client_of(people["ben"])
    send(bens, next_of(bens), comment=SECRET, not_rankable=False)
    for line in TABLE:
        body = _ask(client_of(people["alice"]), line, rows)
        text = b"" if body.streaming else body.content
        assert SECRET.encode() not in text, line
        assert b'"ben"' not in text, line


def test_managers_cannot_see_rows_of_other_projects(
    people: dict[str, User], rows: Ids, client_of: Callable[[User | None], APIClient], oscar: User
) -> None:
    """A manager has no role in other projects."""
    create_project(slug="elsewhere", manager=oscar)
    for line in TABLE:
        if "<" in line.route and RULES[line.action].who is Who.ROLES:
            assert _ask(client_of(oscar), line, rows).status_code == 404, line.route
