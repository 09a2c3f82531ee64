"""No view reads a query parameter, header or cookie itself. Otherwise, the value would have no limits
and would be missing from the OpenAPI schema."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PACKAGES = ("annotation", "training", "config")
# These attributes of a request contain what the client sent, apart from the path and the body.
READS = {"query_params", "GET", "META", "COOKIES", "get_full_path", "get_signed_cookie", "accepted_types"}
# `headers` is also an attribute of responses.
REQUESTS = {"request", "_request"}

ALLOWED = {
    "annotation/api/parameters.py": "the parser",
    "annotation/accounts/login/adapters.py": "REMOTE_ADDR is the connection's address, not a header",
    "annotation/accounts/login/devices.py": "a signed cookie that no view reads",
    "config/logs/middleware.py": "the request ID, which has a strict format",
    "config/requests/middleware.py": "WhiteNoise reads the headers of requests for static files",
    "config/requests/wellformed.py": "refuses undecodable requests before the parser runs",
}


def reads_in(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and (
            node.attr in READS or (node.attr == "headers" and _name_of(node.value) in REQUESTS)
        ):
            yield node.lineno


def _name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def modules() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in path.parts
    ]


def test_only_the_parser_reads_parameters_and_headers_and_cookies() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in modules()
        if (lines := list(reads_in(path.read_text())))
    }
    assert set(found) == set(ALLOWED), (
        "Declare parameters and headers with `annotation.api.parameters.parses`:",
        {path: lines for path, lines in found.items() if path not in ALLOWED},
    )


@pytest.mark.parametrize(
    "line",
    [
        "request.query_params.get('after')",
        "self.request.query_params['a']",
        "request.GET['a']",
        "request._request.META['HTTP_X']",
        "request.headers.get('X')",
        "self.request.headers['X']",
        "request._request.headers['X']",
        "request.COOKIES",
    ],
)
def test_every_way_to_read_a_parameter_is_detected(line: str) -> None:
    assert list(reads_in(line)) == [1]
