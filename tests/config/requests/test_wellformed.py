"""A request that can't be decoded is refused before a view runs."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from annotation.models import User
from tests.config.conftest import Ids

FORM = (
    b'--x\r\nContent-Disposition: form-data; name="votes"\r\n\r\nclose\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--x--\r\n'
)


@pytest.fixture
def client(people: dict[str, User], rows: Ids) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.force_login(people["ada"])
    return client


def _refused(answer: object, field: str) -> bool:
    assert answer.status_code == 400, answer.content  # type: ignore[attr-defined]
    return bool(answer.json()["errors"][0]["field"] == field)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["%00", "a%00b", "%FF", "%ED%A0%BD", "%C3%28", "%F4%90%80%80"])
def test_query_that_does_not_decode_to_valid_text_is_refused(client: APIClient, text: str) -> None:
    assert _refused(client.get(f"/api/v1/projects/support/tasks/?says={text}"), "query")
    assert _refused(client.get(f"/api/v1/projects/support/tasks/?{text}=1"), "query")


def test_percent_sign_without_hexadecimal_digits_is_accepted(client: APIClient) -> None:
    assert client.get("/api/v1/projects/support/tasks/?says=100%").status_code == 200
    assert client.get("/api/v1/projects/support/tasks/?says=%zz").status_code == 200


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "other"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_cookie_with_a_nul_character_is_refused(client: APIClient, name: str, method: str) -> None:
    client.logout()
    for url in ("/api/v1/auth/me", "/api/v1/auth/logout", "/api/v1/auth/login"):
        cookie = f'{name}="aaaaaaaa\\000aaaaaaaaaaaaaaaaaaaaaaaa"'
        assert _refused(client.generic(method, url, headers={"Cookie": cookie}), "Cookie")


@pytest.mark.parametrize("charset", ["idna", "hex", "undefined", "utf-16", "\u00ff", "x" * 5_000])
def test_form_in_a_character_set_other_than_utf_8_is_refused(client: APIClient, charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = client.generic("POST", "/api/v1/projects/support/imports/", FORM, content_type=kind)
    assert _refused(answer, "Content-Type")


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_form_in_utf_8_is_read(client: APIClient, charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    answer = client.generic("POST", "/api/v1/projects/support/imports/", FORM, content_type=kind)
    assert answer.status_code == 422, answer.content
    assert answer.json()["errors"][0]["field"] == "file"
