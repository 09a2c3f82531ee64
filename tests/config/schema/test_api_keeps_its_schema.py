"""Run Schemathesis against the whole API: thousands of valid, invalid and hostile requests.

No response may be a server error, and the schema must describe every response. Each request is rolled back,
so that every run and every failing example starts from the same rows. Two in three requests come from a
user with access. The others come from all test users, with a session or token that is valid, expired, revoked
or malformed. `python -m benchmarks.schema_fuzz` sends such requests to a running stack for several minutes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.urls import get_resolver
from django.utils import timezone
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from rest_framework.test import APIClient
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation

from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.api.permissions import RULES, Who, scopes_for
from annotation.models import ApiToken, Assignment, User
from benchmarks.schema_fuzz.cases import CHECKS, HEADERS, Identity, parameters_of, requests_to
from tests.config.conftest import OWNER, Ids
from tests.config.conftest import parameters_of as path_parameters_of
from tests.config.schema.api_schema import api_schema

SEED = 20_261_121
CASES_AT_LEAST = 2_000


def _template(line: Line) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", line.route)


DOCUMENT = api_schema()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.app = get_wsgi_application()
TABLE = {(_template(line), line.method): line for line in lines(get_resolver()) if isinstance(line, Line)}
OPERATIONS: list[APIOperation] = [found.ok() for found in SCHEMA.get_all_operations()]
# The number of valid cases per operation. The number of invalid cases is the same. Operations with query
# parameters or headers get twice as many of each.
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


def _with_token(user: User, kind: str = "valid") -> Identity:
    token, text = create_token(user=user, name="schema")
    if kind == "expired":
        ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=1))
    elif kind == "revoked":
        ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
    return Identity(f"{user.username}, {kind} token", {"Authorization": f"Bearer {text}"})


def _with_session(user: User | None, kind: str = "valid") -> Identity:
    client = APIClient()
    if user is not None:
        client.force_login(user)
    client.get("/api/v1/auth/me")
    cookies = {name: morsel.value for name, morsel in client.cookies.items()}
    key = cookies.get(django_settings.SESSION_COOKIE_NAME)
    if kind == "expired":
        Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(days=1))
    elif kind == "ended":
        Session.objects.filter(session_key=key).delete()
    who = user.username if user else "nobody"
    return Identity(f"{who}, {kind} session", {"X-CSRFToken": cookies["csrftoken"]}, cookies)


def _others(people: dict[str, User]) -> list[Identity]:
    """Every user twice, with a session and with a token, and identities whose credentials are missing,
    expired, revoked or malformed."""
    return [
        *(_with_session(user) for user in people.values()),
        *(_with_token(user) for user in people.values()),
        *(_with_session(people["ada"], kind) for kind in ("expired", "ended")),
        *(_with_token(people["ada"], kind) for kind in ("expired", "revoked")),
        _with_session(None),
        Identity("nobody, no CSRF token"),
        *(Identity("malformed token", {"Authorization": text}) for text in HEADERS["Authorization"]),
        *(Identity("malformed cookie", {"Cookie": text}) for text in HEADERS["Cookie"]),
    ]


def _allowed(people: dict[str, User], operation: APIOperation) -> Identity:
    """A user with access. The user has a token if the endpoint allows tokens, and a session otherwise."""
    line = TABLE[operation.path, operation.method.upper()]
    rule = RULES[line.action]
    user = people[OWNER if rule.who is Who.OWNER else "ada"]
    if rule.who is Who.ANYONE:
        return _with_session(None)
    return _with_token(user) if scopes_for(line.action, line.method) else _with_session(user)


def _client(people: dict[str, User], operation: APIOperation) -> APIClient:
    identity = _allowed(people, operation)
    client = APIClient(headers=identity.headers, raise_request_exception=False)
    client.cookies.load(dict(identity.cookies))
    return client


def _known(rows: Ids, operation: APIOperation) -> dict[str, str]:
    """Maps each parameter of the URL to the ID of an existing row."""
    return path_parameters_of(TABLE[operation.path, operation.method.upper()].route, rows)


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
    others = _others(people)
    faults: list[BaseException] = []
    for operation in OPERATIONS:
        if _first_word(operation) == first_word:
            try:
                _ask(operation, _allowed(people, operation), others, _known(rows, operation), fields)
            except (FailureGroup, AssertionError) as fault:
                faults.append(fault)
    if faults:
        raise BaseExceptionGroup(f"{len(faults)} operations have faulty responses", faults)


def _ask(
    operation: APIOperation,
    allowed: Identity,
    others: list[Identity],
    known: dict[str, str],
    fields: dict[str, Any],
) -> None:
    parameters = parameters_of(DOCUMENT, operation)
    documented = DOCUMENT["paths"][operation.path][operation.method]["responses"]
    for mode in GenerationMode:

        @seed(SEED)
        @settings(
            max_examples=CASES_EACH * (2 if parameters else 1),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=requests_to(operation, mode, parameters=parameters, known=known, fields=fields),
            identity=st.one_of(st.just(allowed), st.just(allowed), st.sampled_from(others)),
        )
        def answered(case: Any, identity: Identity) -> None:
            asked[_id(operation)] += 1
            headers = {**identity.headers, **case.headers}
            with transaction.atomic():
                answer = case.call(headers=headers, cookies=dict(identity.cookies))
                transaction.set_rollback(True)
            case.validate_response(answer, checks=CHECKS)
            # The schema describes refusals as the `default` response, which matches every status. A
            # successful status must therefore be documented separately.
            assert answer.status_code >= 400 or str(answer.status_code) in documented

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
