from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from annotation.models import Assignment, RankingTask, User
from tests.annotation.answering import next_of, send, wrong_fields

HALF = b'"\\ud83d"'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 100_000, "too deeply"),
        (b'{"draft": {"a": "\\u0000"}}', "NUL"),
        (b'{"draft": {"\\u0000": 1}}', "NUL"),
        (b'{"draft": {"a": ' + HALF + b"}}", "lone surrogate"),
        (b'{"draft": ' + b'{"a":' * 30 + b"1" + b"}" * 31, "too deeply"),
        (b'{"version": NaN}', "NaN"),
        (b'{"draft": {"a": 1e400}}', "too large"),
        (b'{"version": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_body_that_cannot_be_stored_is_refused_with_a_reason(
    client_of: Callable[[User | None], APIClient],
    alice: User,
    tasks: list[RankingTask],
    body: bytes,
    reason: str,
) -> None:
    desk = client_of(alice)
    url = f"/api/v1/assignments/{next_of(desk)['id']}/draft"
    response = desk.put(url, body, content_type="application/json")
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"
    assert reason in response.json()["detail"]
    assert Assignment.objects.get().draft is None


@pytest.mark.parametrize("field", ["ratings", "flags"])
def test_response_id_repeated_without_hyphens_is_refused(
    client_of: Callable[[User | None], APIClient], alice: User, tasks: list[RankingTask], field: str
) -> None:
    client = client_of(alice)
    assignment = next_of(client)
    response = assignment["responses"][0]["id"]
    nothing: dict[str, int] | list[str] = {} if field == "ratings" else []
    twice = {response: nothing, response.replace("-", ""): nothing}
    refused = send(client, assignment, **{field: twice})
    assert refused.status_code == 422
    assert "appears twice" in str(refused.json()["errors"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"comment": "a\\u0000b"}', "comment"),
        (b'{"tiers": [[], ["\\ud800"]]}', "tiers.1.0"),
        (b'{"ratings": {"x": {"\\udfff": 1}}}', "ratings.x.\\udfff"),
        (b'{"draft": {"a": {"\\u0000": 1}}}', "draft.a.\\u0000"),
    ],
)
def test_text_that_cannot_be_stored_is_refused_and_the_error_names_the_field(
    client_of: Callable[[User | None], APIClient],
    alice: User,
    tasks: list[RankingTask],
    body: bytes,
    field: str,
) -> None:
    desk = client_of(alice)
    url = f"/api/v1/assignments/{next_of(desk)['id']}/submit"
    response = desk.post(url, body, content_type="application/json")
    assert (response.status_code, wrong_fields(response)) == (400, [field])
    assert Assignment.objects.get().state == "leased"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'"text"', b"null", b"7", b'{"token": []}', b'{"token": "x", "version": "y", "draft": 3}'],
)
def test_json_of_the_wrong_shape_is_refused_and_the_error_names_the_fields(
    client_of: Callable[[User | None], APIClient], alice: User, tasks: list[RankingTask], body: bytes
) -> None:
    desk = client_of(alice)
    url = f"/api/v1/assignments/{next_of(desk)['id']}/draft"
    response = desk.put(url, body, content_type="application/json")
    assert response.status_code == 422
    assert response.json()["errors"]


def test_valid_escapes_in_text_are_decoded_and_stored(
    client_of: Callable[[User | None], APIClient], alice: User, tasks: list[RankingTask]
) -> None:
    desk = client_of(alice)
    shown = next_of(desk)
    body = (
        b'{"token": "' + shown["token"].encode() + b'", "version": 0, '
        b'"draft": {"a": "\\ud83d\\ude00 \\\\u0000 \\u00e9"}}'
    )
    response = desk.put(f"/api/v1/assignments/{shown['id']}/draft", body, content_type="application/json")
    assert response.status_code == 200
    assert Assignment.objects.get().draft == {"a": "😀 \\u0000 é"}
