"""Every query parameter and header is parsed as the OpenAPI schema specifies: an invalid value is refused
with status 422 and the parameter's name, and a valid value is accepted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from django.urls import get_resolver
from rest_framework.test import APIClient

from annotation.api.endpoint import Line, lines
from annotation.models import Assignment, User
from tests.config.conftest import OWNER, Ids, url_of
from tests.config.schema.api_schema import api_schema

Parameter = dict[str, Any]

DIGITS = "9" * 5_000  # Python refuses to convert more than 4,300 digits


def _cursor(query: str) -> str:
    return base64.b64encode(query.encode()).decode()


BAD_CURSORS = [
    "x",
    "é",
    "=" * 4,
    _cursor("nonsense"),
    _cursor("p=nonsense" + "9" * 40),
    _cursor("p=%00"),
    _cursor("p=\0"),
    _cursor("p=" + "9" * 40),
    _cursor("p=%ED%A0%BD" + "9" * 40),
    _cursor("o=-1"),
    _cursor("o=1001"),
    _cursor("o=" + "9" * 300),
    _cursor("o=" + DIGITS),
    _cursor("o=٣"),
    _cursor("r=2"),
    _cursor("o=1&o=2"),
    _cursor("o=1&x=1"),
    _cursor("o=1") + "!",
    base64.b64encode(b"p=\xff").decode(),
]
NOT_WHOLE = ["x", "1.5", "1_0", " 1", "٣", "²", "1e3", "0x1", "true", DIGITS, "-" + DIGITS, "--1"]
NOT_NUMBERS = ["x", "nan", "inf", "-inf", "1e400", "1_0x", DIGITS]


def _invalid(schema: Parameter) -> Iterator[str]:
    if "enum" in schema:
        yield from ("nonsense", "x" * 5_000)
    elif schema["type"] == "integer":
        yield from (*NOT_WHOLE, str(schema["minimum"] - 1), str(schema["maximum"] + 1))
    elif schema["type"] == "number":
        yield from NOT_NUMBERS
    elif schema["type"] == "boolean":
        yield from ("maybe", "2", DIGITS)
    elif schema.get("format") == "cursor":
        yield from BAD_CURSORS
    elif schema.get("format") in ("uuid", "date-time"):
        yield from ("x", DIGITS, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-45")
    else:
        yield "x" * (schema["maxLength"] + 1)


def _valid(schema: Parameter) -> Iterator[str]:
    if "enum" in schema:
        yield from schema["enum"]
    elif schema["type"] == "integer":
        yield from (str(schema["minimum"]), str(schema["maximum"]))
    elif schema["type"] == "number":
        yield str(schema.get("minimum", 0.5))
    elif schema["type"] == "boolean":
        yield from ("true", "false")
    elif schema.get("format") == "cursor":
        yield from (_cursor("r=1"), _cursor("o=1000"))
    elif schema.get("format") == "uuid":
        yield "0190aaaa-0000-7000-8000-000000000000"
    elif schema.get("format") == "date-time":
        yield from ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z")
    else:
        yield "x" * schema["maxLength"]


LINES = [line for line in lines(get_resolver()) if isinstance(line, Line)]


def _declared() -> list[tuple[Line, list[Parameter]]]:
    document = api_schema()
    operations = {
        (path.replace("{", "<").replace("}", ">"), method.upper()): operation["parameters"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if any(each["in"] != "path" for each in operation.get("parameters", ()))
    }
    return [
        (line, [each for each in operations[key] if each["in"] != "path"])
        for line in LINES
        if (key := (_template(line.route), line.method)) in operations
    ]


def _template(route: str) -> str:
    return "/" + "<".join(part.split(":")[-1] if n else part for n, part in enumerate(route.split("<")))


DECLARED = _declared()


def _answer(client: APIClient, line: Line, rows: Ids, parameter: Parameter, value: str) -> Any:
    url, headers = url_of(line, rows), {}
    body: dict[str, Any] | None = None
    if parameter["in"] == "header":
        headers = {parameter["name"]: value}
    else:
        url = f"{url}?{urlencode({parameter['name']: value})}"
    if line.method == "POST":
        lease = Assignment.objects.get(pk=rows["assignments"])
        body = {"token": str(lease.token), "tiers": [[str(response)] for response in lease.shown_order]}
    return client.generic(
        line.method, url, json.dumps(body), content_type="application/json", headers=headers
    )


def _client(line: Line, people: dict[str, User]) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_login(people[OWNER if line.method == "POST" else "ada"])
    return client


def _named(answer: Any) -> set[str]:
    if answer.headers.get("Content-Type") != "application/problem+json":
        return set()
    return {error["field"] for error in answer.json()["errors"]}


def test_every_invalid_value_is_refused_and_the_error_names_the_parameter(
    people: dict[str, User], rows: Ids
) -> None:
    tried = 0
    for line, parameters in DECLARED:
        client = _client(line, people)
        for parameter in parameters:
            for value in _invalid(parameter["schema"]):
                answer = _answer(client, line, rows, parameter, value)
                where = (line.route, parameter["name"], value[:60], answer.status_code)
                assert answer.status_code == 422, where
                assert parameter["name"] in _named(answer), where
                tried += 1
    assert tried > 500


def test_every_valid_value_is_accepted(people: dict[str, User], rows: Ids) -> None:
    for line, parameters in DECLARED:
        client = _client(line, people)
        for parameter in parameters:
            for value in _valid(parameter["schema"]):
                answer = _answer(client, line, rows, parameter, value)
                where = (line.route, parameter["name"], value[:60], answer.status_code)
                assert answer.status_code < 500, where
                # An export option can be valid, but not for the default format.
                refused = parameter["name"] in _named(answer)
                assert not refused or line.route.endswith("export"), where


SINGLE = [(line, each) for line, parameters in DECLARED for each in parameters if each["in"] == "query"]


def test_repeated_parameter_is_refused(people: dict[str, User], rows: Ids) -> None:
    for line, parameter in SINGLE:
        value = next(_valid(parameter["schema"]))
        query = urlencode([(parameter["name"], value), (parameter["name"], value)])
        answer = _client(line, people).get(f"{url_of(line, rows)}?{query}")
        assert answer.status_code == 422, (line.route, parameter["name"])
        assert parameter["name"] in _named(answer), (line.route, parameter["name"])


def test_empty_value_means_that_the_parameter_was_not_given(people: dict[str, User], rows: Ids) -> None:
    for line, parameter in SINGLE:
        if not parameter.get("required"):
            url = url_of(line, rows)
            answer = _client(line, people).get(f"{url}?{parameter['name']}=")
            assert parameter["name"] not in _named(answer), (line.route, parameter["name"])
            assert answer.status_code == _client(line, people).get(url).status_code


def test_unknown_parameter_is_ignored_except_in_exports(people: dict[str, User], rows: Ids) -> None:
    for line in LINES:
        if line.method == "GET":
            url, client = url_of(line, rows), _client(line, people)
            answers = [client.get(f"{url}{query}") for query in ("", f"?unknown={DIGITS}", "?%3Cx%3E=1&=&&")]
            expected = 422 if line.route.endswith("export") else answers[0].status_code
            assert {answer.status_code for answer in answers[1:]} == {expected}, line.route


def test_only_exports_have_a_format_parameter(people: dict[str, User], rows: Ids) -> None:
    """By default, DRF selects a renderer by `format`, and returns 404 for an unknown format."""
    for line in LINES:
        if line.method == "GET" and not line.route.endswith("export"):
            url, client = url_of(line, rows), _client(line, people)
            assert client.get(f"{url}?format=x").status_code == client.get(url).status_code, line.route


def test_all_invalid_parameters_are_named_in_one_response(people: dict[str, User], rows: Ids) -> None:
    client = APIClient()
    client.force_login(people["ada"])
    answer = client.get(f"/api/v1/runs/{rows['runs']}/events?after=x", headers={"Last-Event-ID": DIGITS})
    assert _named(answer) == {"after", "Last-Event-ID"}


def test_cursor_of_another_list_is_refused_or_returns_a_page(people: dict[str, User], rows: Ids) -> None:
    """Some lists are sorted by UUIDs, others by numbers or strings."""
    for line, parameter in SINGLE:
        if parameter["name"] == "cursor":
            for place in (
                "1",
                "0190aaaa-0000-7000-8000-000000000000",
                "00190aaaa-0000-7000-8000-000000000000",
            ):
                url = f"{url_of(line, rows)}?{urlencode({'cursor': _cursor(f'p={place}')})}"
                assert _client(line, people).get(url).status_code in (200, 422), (line.route, place)


def test_header_with_a_nul_character_is_refused(people: dict[str, User], rows: Ids) -> None:
    tried = 0
    for line, parameters in DECLARED:
        for parameter in parameters:
            if parameter["in"] == "header":
                answer = _answer(_client(line, people), line, rows, parameter, "1\x00")
                assert answer.status_code == 422, (line.route, parameter["name"])
                assert parameter["name"] in _named(answer)
                tried += 1
    assert tried == 2
