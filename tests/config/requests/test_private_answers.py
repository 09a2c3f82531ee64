"""Browsers and proxies do not store private responses, and every string that the API accepts has a maximum
length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.urls import get_resolver
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.desk.task_problems import report_problem
from annotation.models import Exclusion, Project, Ranking, TaskProblem, User
from annotation.models.project import MAX_GUIDELINES_CHARACTERS
from tests.annotation.answering import claim, next_of, send
from tests.config.conftest import OWNER, Ids, url_of
from tests.config.schema.api_schema import api_schema


def test_caches_may_not_store_responses_of_the_api(people: dict[str, User], rows: Ids) -> None:
    """The test covers requests with and without a token. Most requests without a token are refused."""
    for name in ("ada", OWNER, None):
        token = name and create_token(user=people[name], name="t")[1]
        client = APIClient(headers={"Authorization": f"Bearer {token}"} if token else {})
        for line in (line for line in lines(get_resolver()) if isinstance(line, Line)):
            if line.method == "GET":
                answer = client.get(url_of(line, rows))
                assert "no-store" in answer["Cache-Control"], (name, line)
                assert "public" not in answer["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/none/", "/api/schema/", "/static/none.js"])
def test_caches_may_not_store_responses_outside_the_api(db: None, path: str) -> None:
    assert "no-store" in APIClient().get(path)["Cache-Control"]


def _unlimited(schema: Any, components: Any, path: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yields the paths of the strings in this schema that have no maximum length."""
    if reference := schema.get("$ref"):
        name = reference.rsplit("/", 1)[1]
        if name not in seen:
            yield from _unlimited(components[name], components, path, seen | {name})
        return
    kinds = schema.get("type")
    is_text = kinds == "string" or (isinstance(kinds, list) and "string" in kinds)
    is_short = "enum" in schema or schema.get("format") in {"uuid", "date-time", "binary"}
    if is_text and not is_short and "maxLength" not in schema:
        yield path
    parts = dict(schema.get("properties", {}))
    parts |= {
        key: schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)
    }
    for key in ("allOf", "oneOf", "anyOf"):
        parts |= {f"{key}{number}": part for number, part in enumerate(schema.get(key, ()))}
    for name, part in parts.items():
        yield from _unlimited(part, components, f"{path}.{name}", seen)


def test_every_text_in_a_request_has_a_maximum_length() -> None:
    schema = api_schema()
    components = schema["components"]["schemas"]
    found = {
        path
        for url, methods in schema["paths"].items()
        for method, operation in methods.items()
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for path in _unlimited(content["schema"], components, f"{method} {url}")
    }
    assert found == set()


def test_guidelines_have_a_maximum_length(
    project: Project, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    client, url = client_of(mona), "/api/v1/projects/support/"
    refused = client.patch(url, {"guidelines": "x" * (MAX_GUIDELINES_CHARACTERS + 1)})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "guidelines")
    new = {"slug": "new", "guidelines": "x" * (MAX_GUIDELINES_CHARACTERS + 1)}
    assert client.post("/api/v1/projects/", new).status_code == 422
    assert client.patch(url, {"guidelines": "é" * MAX_GUIDELINES_CHARACTERS}).status_code == 200


def test_database_refuses_texts_above_the_maximum_length(
    project: Project, tasks: list[Any], alice: User, ben: User, client_of: Callable[[User], APIClient]
) -> None:
    problem, _ = report_problem(assignment=claim(project, ben), kind="unsafe")
    desk = client_of(alice)
    answered: Any = send(desk, next_of(desk))
    ranking = Ranking.objects.get(pk=answered.json()["id"])
    exclusion = Exclusion.objects.create(project=project, annotator_label="a", reason="x")
    for row, field, most in (
        (project, "guidelines", MAX_GUIDELINES_CHARACTERS),
        (problem, "text", 2_000),
        (exclusion, "reason", 2_000),
    ):
        rows: Any = type(row)._default_manager.filter(pk=row.pk)
        rows.update(**{field: "é" * most})
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**{field: "é" * (most + 1)})
    assert TaskProblem.objects.get().text
    stored: dict[str, Any] = dict(Ranking.objects.filter(pk=ranking.pk).values().get())
    del stored["id"]
    copy = stored | {"comment": "x" * 10_001, "supersedes_id": ranking.pk}
    with pytest.raises(IntegrityError, match="ranking_text_length"), transaction.atomic():
        Ranking.objects.create(**copy)
