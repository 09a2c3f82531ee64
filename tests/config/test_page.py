"""The server returns the page at each of the page's URLs, and serves the page's files. Every response has the
security headers."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from pytest_django.fixtures import Settings

SCRIPT = b"export const ranked = true;\n" * 40


@pytest.fixture
def built(tmp_path: Path, settings: Settings) -> Path:
    """A folder with the files of a built page. During the test, the server uses this folder."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-4f2aB9.js").write_bytes(SCRIPT)
    (tmp_path / "assets" / "index-4f2aB9.js.gz").write_bytes(gzip.compress(SCRIPT))
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "index.html").write_text("<!doctype html><title>Rankloop</title>")
    settings.FRONTEND = tmp_path
    return tmp_path


@pytest.mark.parametrize("path", ["/", "/login", "/projects/demo/rank", "/projects/demo/runs/new"])
def test_every_page_address_returns_the_page(built: Path, path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 200
    assert b"<title>Rankloop</title>" in response.content
    assert "no-store" in response["Cache-Control"]


def test_login_page_sets_the_csrf_cookie(built: Path) -> None:
    assert Client().get("/login").cookies["csrftoken"].value


def test_response_for_an_unbuilt_page_names_the_command_that_builds_it(
    tmp_path: Path, settings: Settings
) -> None:
    settings.FRONTEND = tmp_path / "none"
    response = Client().get("/")
    assert response.status_code == 503
    assert b"scripts/up" in response.content


def test_only_files_with_a_hash_in_their_name_are_immutable(built: Path) -> None:
    hashed = Client().get("/static/assets/index-4f2aB9.js")
    assert hashed.content == SCRIPT
    assert hashed["Content-Type"].startswith("text/javascript")
    assert "immutable" in hashed["Cache-Control"]
    assert "immutable" not in Client().get("/static/favicon.svg")["Cache-Control"]


def test_client_that_accepts_gzip_gets_the_compressed_file(built: Path) -> None:
    response = Client().get("/static/assets/index-4f2aB9.js", headers={"accept-encoding": "gzip"})
    assert response["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.content) == SCRIPT


def test_unchanged_file_is_not_sent_again(built: Path) -> None:
    first = Client().get("/static/favicon.svg")
    again = Client().get("/static/favicon.svg", headers={"if-none-match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_files_are_also_served_over_asgi(built: Path) -> None:
    response = async_to_sync(AsyncClient().get)("/static/assets/index-4f2aB9.js")
    assert response.content == SCRIPT
    assert async_to_sync(AsyncClient().get)("/login").status_code == 200


@pytest.mark.parametrize("path", ["/static/none.js", "/api/none", "/api/v1/none/"])
def test_unknown_path_returns_problem_details_instead_of_the_page(built: Path, path: str) -> None:
    response = Client().get(path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["detail"] == f"There is nothing at {path}."


def test_unknown_host_is_refused() -> None:
    response = Client().get("/", headers={"host": "evil.example"})
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/", "/static/favicon.svg", "/api/none", "/api/v1/auth/me"])
def test_every_response_has_the_security_headers(built: Path, path: str) -> None:
    headers = Client().get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["script-src"] == policy["img-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
