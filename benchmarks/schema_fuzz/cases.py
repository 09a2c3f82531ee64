"""Valid and invalid requests for every operation of the OpenAPI schema, some of them with hostile values.

Schemathesis generates values from the schema. It hardly ever generates values with a hidden structure, such
as a cursor that is valid Base64 but contains other text instead of a UUID. Schemathesis also generates only
the headers that the schema declares. This module adds such values and undeclared headers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
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

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

DIGITS = "9" * 5_000  # Python refuses to convert more than 4,300 digits


def cursor(query: str) -> str:
    return base64.b64encode(query.encode(errors="surrogatepass")).decode()


CURSORS = [
    *map(
        cursor,
        (
            "p=x",
            "p=%00",
            "p=\0",
            "p=%ED%A0%BD",
            "p=\ud83d",
            "p=" + "9" * 40,
            "p=" + DIGITS,
            "p=01a22892-065e-782b-9e17-0efed33c58c0",
            "p=1",
            "p=-1",
            "p=9223372036854775808",
            "p=0001-01-01",
            "p=",
            "o=1000",
            "o=-1",
            "o=" + DIGITS,
            "o=9223372036854775808&p=1",
            "r=1",
            "r=2",
            "r=" + DIGITS,
            "r=1&p=01a22892-065e-782b-9e17-0efed33c58c0&o=3",
            "&&&",
            "p",
        ),
    ),
    "x",
    "====",
    "é",
    "9" * 600,
]
NUMBERS = [
    *[DIGITS] * 3,
    "-" + DIGITS,
    "9" * 20,
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "2147483648",
    "-1",
    "0",
    "1_0",
    "٣",
    "²",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "1.5",
    "0x10",
    " 1",
    "",
]
TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\u202e\ufffe\U0010ffff",
    "'; DROP TABLE annotation_ranking; --",
    "../../etc/passwd",
    "%",
    "_%\\",
    "[",
    "\\x",
    "x" * 5_000,
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-13-45T99:99:99Z",
    "00000000-0000-0000-0000-000000000000",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    *NUMBERS,
]
# Header values are bytes. A value that is not ASCII is sent as Latin-1.
LATIN = "ÿ\x80é"
HEADERS: dict[str, list[str]] = {
    "Last-Event-ID": [text for text in NUMBERS if text.isascii() and text == text.strip()] + ["³", LATIN],
    "Idempotency-Key": ["x" * 201, LATIN, "x" * 200, ""],
    "If-Match": ["*", '"x"', LATIN, '"' * 100],
    "If-None-Match": ["*", 'W/"', LATIN],
    "If-Modified-Since": ["x", DIGITS, "Thu, 32 Foo 99999 99:99:99 GMT", LATIN],
    "Range": ["bytes=0-", "bytes=9-1", "bytes=-" + DIGITS, "bytes=" + DIGITS + "-", "x=" + LATIN],
    "Accept": [
        "*/*",
        "text/event-stream",
        "application/json; indent=" + DIGITS,
        "application/json; q=x",
        ";;;",
        "a/b/c",
        "*/json",
        LATIN,
        "text/html",
        ",".join(["a/b"] * 500),
    ],
    "Accept-Language": ["de", "x" * 5_000, LATIN, "de;q=" + "9" * 400],
    "Accept-Encoding": ["gzip;q=nan", LATIN, "*"],
    "Authorization": [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        f"Bearer {LATIN}",
        "Bearer " + "x" * 5_000,
        "Basic eDp5",
        "Basic ÿ",
        "Digest",
        "Bearer rl_" + "0" * 43,
    ],
    "Cookie": [
        'sessionid="aaaaaaaa\\000aaaaaaaaaaaaaaaaaaaaaaaa"',
        'csrftoken="\\000"; sessionid=x',
        "sessionid=" + "x" * 5_000,
        'sessionid="\\377\\355\\240\\200aaaaaaaa"',
        f"sessionid={LATIN}aaaaaaaa",
        "=;;;==",
        "sessionid; sessionid=a; sessionid=b",
    ],
    "Origin": ["null", "http://[", LATIN, "https://evil.example"],
    "Referer": ["http://[", LATIN, "x"],
    "X-CSRFToken": ["", "x" * 32, "x" * 64, LATIN, "x" * 5_000],
    "X-Forwarded-For": ["1.2.3.4", "x", LATIN, "1.2.3.4, " * 500],
    "X-Request-ID": ["x" * 5_000, LATIN, "a b", "{}"],
    "X-HTTP-Method-Override": ["DELETE", "FOO"],
    "User-Agent": ["", LATIN, "x" * 5_000],
    "Forwarded": ["for=x", LATIN],
}


@dataclass(frozen=True)
class Identity:
    """The sender of a request: a user with a session or a token, or a client without a valid login."""

    name: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)


def parameters_of(document: Mapping[str, Any], operation: APIOperation) -> list[dict[str, Any]]:
    """The declared query parameters and headers."""
    declared = document["paths"][operation.path][operation.method].get("parameters", [])
    return [each for each in declared if each["in"] in ("query", "header")]


def hostile_values(parameter: Mapping[str, Any]) -> Sequence[str]:
    if parameter["in"] == "header":
        return HEADERS.get(parameter["name"], ["", LATIN, "x" * 5_000])
    if parameter["name"] == "cursor":
        return CURSORS
    return NUMBERS if parameter["schema"].get("type") in ("integer", "number") else TEXTS


@st.composite
def requests_to(
    draw: st.DrawFn,
    operation: APIOperation,
    mode: GenerationMode,
    *,
    parameters: Sequence[Mapping[str, Any]],
    known: Mapping[str, str],
    fields: Mapping[str, Any],
) -> Any:
    """A test case for the operation.

    Seven in eight cases use the IDs of existing rows (`known`), because most requests would otherwise end
    with a 404. Half of the bodies contain the valid values in `fields`. Three in four valid cases and one in
    four invalid cases have a hostile value in a declared parameter. One in four cases has a hostile header.
    """
    case = draw(operation.as_strategy(generation_mode=mode, feedback=NO_FEEDBACK))
    # Schemathesis invents credentials for the security schemes. The invented credentials would replace the
    # sender's.
    case.headers.pop("Authorization", None)
    case.cookies.clear()
    if known and draw(st.integers(0, 7)):
        case.path_parameters = dict(known)
    if isinstance(case.body, dict) and draw(st.booleans()):
        case.body |= {name: value for name, value in fields.items() if name in case.body}
    if parameters and (draw(st.integers(0, 3)) == 0) is (mode is GenerationMode.NEGATIVE):
        _set(draw, case, draw(st.sampled_from(list(parameters))))
    if not draw(st.integers(0, 3)):
        name = draw(st.sampled_from(sorted(HEADERS)))
        case.headers[name] = draw(st.sampled_from(HEADERS[name]))
    return case


def _set(draw: st.DrawFn, case: Any, parameter: Mapping[str, Any]) -> None:
    value = draw(st.sampled_from(list(hostile_values(parameter))))
    if parameter["in"] == "header":
        case.headers[parameter["name"]] = value
    else:
        # Half of these requests have no other query parameters, because the server could refuse an invalid
        # parameter before it reads the hostile one.
        others = case.query if draw(st.booleans()) else {}
        case.query = {
            **others,
            parameter["name"]: draw(st.sampled_from([value, value, value, [value, value]])),
        }
