"""Run Schemathesis against the whole API: thousands of valid, invalid and hostile requests.

No response may be a server error, and the schema must describe every response. Each request is rolled back,
so that every run and every failing example start from the same rows. One in eight of the IDs in the requests
is random. All other IDs belong to existing rows, because most requests would otherwise end with a 404.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from rest_framework.test import APIClient
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.api.permissions import RULES, Who, scopes_for
from annotation.models import Assignment, User
from tests.config.conftest import OWNER, Ids, parameters_of

SEED = 20_261_121
CASES_AT_LEAST = 2_000
MADE_UP_IN = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def _template(line: Line) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", line.route)


DOCUMENT = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = get_wsgi_application()
TABLE = {(_template(line), line.method): line for line in lines(get_resolver()) if isinstance(line, Line)}
OPERATIONS: list[APIOperation] = [found.ok() for found in SCHEMA.get_all_operations()]
# Each operation gets this many valid cases and just as many invalid ones.
CASES_EACH = -(-CASES_AT_LEAST // len(OPERATIONS) // 2)
asked: Counter[str] = Counter()
words_asked: set[str] = set()


def _id(operation: APIOperation) -> str:
    return f"{operation.method.upper()} {operation.path}"


@contextmanager
def _one_connection() -> Iterator[None]:
    """Keeps the test's database connection open; otherwise, the end of each WSGI request would close it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)


def _sent_with(people: dict[str, User], operation: APIOperation) -> dict[str, dict[str, str]]:
    """Headers and cookies of a user with access: a token if the endpoint allows one, else a session."""
    line = TABLE[operation.path, operation.method.upper()]
    rule = RULES[line.action]
    user = people[OWNER if rule.who is Who.OWNER else "ada"]
    if rule.who is not Who.ANYONE and scopes_for(line.action, line.method):
        return {"headers": {"Authorization": f"Bearer {create_token(user=user, name='schema')[1]}"}}
    client = APIClient()
    if rule.who is not Who.ANYONE:
        client.force_login(user)
    client.get("/api/v1/auth/me")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    return {"headers": {"X-CSRFToken": cookies["csrftoken"]}, "cookies": cookies}


def _client(people: dict[str, User], operation: APIOperation) -> APIClient:
    sent_with = _sent_with(people, operation)
    client = APIClient(headers=sent_with["headers"], raise_request_exception=False)
    client.cookies.load(sent_with.get("cookies", {}))
    return client


def _known(rows: Ids, operation: APIOperation) -> dict[str, str]:
    """IDs of existing rows for the URL's parameters."""
    return parameters_of(TABLE[operation.path, operation.method.upper()].route, rows)


def _first_word(operation: APIOperation) -> str:
    return operation.path.split("/")[3]


FIRST_WORDS = sorted({_first_word(each) for each in OPERATIONS})


@pytest.mark.parametrize("first_word", FIRST_WORDS)
def test_every_response_matches_the_schema(first_word: str, people: dict[str, User], rows: Ids) -> None:
    words_asked.add(first_word)
    lease = Assignment.objects.get(state="leased", annotator__username=OWNER)
    fields = {
        "token": str(lease.token),
        "tiers": [[str(response)] for response in lease.shown_order],
        "project": "support",
        "username": "ben",
        "kind": "sft",
    }
    for operation in OPERATIONS:
        if _first_word(operation) == first_word:
            _ask(operation, _sent_with(people, operation), _known(rows, operation), fields)


def _ask(
    operation: APIOperation, sent_with: dict[str, Any], known: dict[str, str], fields: dict[str, Any]
) -> None:
    for mode in GenerationMode:

        @seed(SEED)
        @settings(
            max_examples=CASES_EACH, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(
            case=operation.as_strategy(generation_mode=mode, feedback=NO_FEEDBACK),
            variant=st.integers(0, MADE_UP_IN - 1),
        )
        def answered(case: Any, variant: int) -> None:
            if variant != MADE_UP_IN - 1 and known:
                case.path_parameters = dict(known)
            if variant % 2 == 0 and isinstance(case.body, dict):
                case.body |= {name: value for name, value in fields.items() if name in case.body}
            asked[_id(operation)] += 1
            with transaction.atomic():
                answer = case.call(**sent_with)
                transaction.set_rollback(True)
            case.validate_response(answer, checks=CHECKS)

        # A request that has neither parameters nor a body can't be made invalid.
        nothing_to_break = suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext()
        with _one_connection(), nothing_to_break:
            answered()


def test_every_operation_received_enough_requests() -> None:
    if words_asked < set(FIRST_WORDS):
        pytest.skip("only some of the endpoints were tested in this run")
    assert len(asked) == len(OPERATIONS)
    assert asked.total() >= CASES_AT_LEAST


def _fields(operation: APIOperation) -> tuple[set[str], set[str]]:
    """The names of all body fields and of the required body fields, collected over all content types."""
    body = DOCUMENT["paths"][operation.path][operation.method].get("requestBody", {}).get("content", {})
    names: set[str] = set()
    required: set[str] = set()
    for content in body.values():
        schema = content["schema"]
        if "$ref" in schema:
            schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        names |= set(schema.get("properties", {}))
        required |= set(schema.get("required", []))
    return names, required


HOSTILE_VALUES = [
    "\x00",
    "a\x00b",
    "\ud83d",
    "x" * 300_000,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    True,
    None,
    [],
    [[]],
    {},
    {"\x00": 1},
    [{"a": [None]}],
    "2026-13-45T99:99:99Z",
    "00000000-0000-0000-0000-000000000000",
    "../../etc/passwd",
    "'; DROP TABLE annotation_ranking; --",
    "\u202e\u0000\ufffe\U0010ffff",
]


def _hostile_bodies(operation: APIOperation) -> Iterator[bytes]:
    yield b"\xff\xfe{}"
    yield b'{"a": "\xc3\x28"}'
    yield b"[" * 100_000
    yield b'{"a":' * 20_000
    yield b"9" * 5_000
    yield b'{"version": 1e400, "strength": -1e400}'
    yield b'{"draft": {"a": NaN}, "version": Infinity}'
    yield b"\xef\xbb\xbf{}"
    yield b"\x00" * 50
    yield b'{"token": "x"} trailing'
    yield b"null"
    yield b"[]"
    yield b'"text"'
    names, required = _fields(operation)
    for value in HOSTILE_VALUES if names else []:
        yield json.dumps(dict.fromkeys(sorted(names), value)).encode()
        for name in sorted(names):
            # A request with only one field passes validation only if no other field is required.
            if required <= {name} and names != {name}:
                yield json.dumps({name: value}).encode()


def test_hostile_body_is_refused_or_ignored(people: dict[str, User], rows: Ids) -> None:
    for operation in OPERATIONS:
        if operation.method in ("post", "put", "patch", "delete"):
            url = operation.path.format(**_known(rows, operation))
            client = _client(people, operation)
            for body in _hostile_bodies(operation):
                with transaction.atomic():
                    answer = client.generic(
                        operation.method.upper(), url, body, content_type="application/json"
                    )
                    transaction.set_rollback(True)
                assert answer.status_code < 500, (_id(operation), body[:200], answer.content[:500])
                if answer.status_code >= 400:
                    assert answer["Content-Type"] == "application/problem+json", (_id(operation), body[:200])
                    assert answer.json()["detail"], (_id(operation), body[:200])


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "multipart/form-data", "nonsense", ""]
)
def test_body_of_an_unknown_media_type_is_refused(
    media_type: str, ada: User, client_of: Any, rows: Ids
) -> None:
    answer = client_of(ada).generic("POST", "/api/v1/projects/", b"{}", content_type=media_type)
    assert answer.status_code in (400, 415, 422)
    assert answer["Content-Type"] == "application/problem+json"


HOSTILE_TEXTS = [
    "%00",
    "a%00b",
    "%ED%A0%BD",
    "%FF",
    "9" * 400,
    "-1",
    "1e400",
    "x" * 5_000,
    "%F4%8F%BF%BF",
    "[]",
]


def test_hostile_query_is_refused_or_ignored(people: dict[str, User], rows: Ids) -> None:
    for operation in OPERATIONS:
        if operation.method == "get":
            url = operation.path.format(**_known(rows, operation))
            client = _client(people, operation)
            parameters = DOCUMENT["paths"][operation.path]["get"].get("parameters", [])
            names = [each["name"] for each in parameters if each["in"] == "query"]
            for name in [*names, "format", "unknown"]:
                for text in HOSTILE_TEXTS:
                    answer = client.get(f"{url}?{name}={text}")
                    assert answer.status_code < 500, (_id(operation), name, text, answer.content[:500])


def test_hostile_values_in_the_url_are_refused(people: dict[str, User], rows: Ids) -> None:
    for operation in OPERATIONS:
        line = TABLE[operation.path, operation.method.upper()]
        client = _client(people, operation)
        for text in ("%00", "..%2F..%2Fetc", "%FF", "x" * 3_000, "%ED%A0%BD", "0", "-"):
            for name in _known(rows, operation):
                url = operation.path.format(**(_known(rows, operation) | {name: text}))
                with transaction.atomic():
                    answer = client.generic(
                        operation.method.upper(), url, b"{}", content_type="application/json"
                    )
                    transaction.set_rollback(True)
                expected = (302, 400, 404) if RULES[line.action].who is Who.ANYONE else (400, 404, 422)
                assert answer.status_code in expected, (_id(operation), text, answer.status_code)
