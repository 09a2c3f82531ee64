"""Requests as bytes: malformed addresses, headers and bodies that no HTTP library would send."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from schemathesis.schemas import APIOperation

from benchmarks.schema_fuzz.cases import Identity

SECONDS = 2.0  # time limit; if a request announces more bytes than it sends, the server keeps waiting
QUERIES = [
    b"?a=%",
    b"?a=%f",
    b"?cursor=%ff",
    b"?cursor=\xff",
    b"?a=%00",
    b"?\x01=\x02",
    b"?" + b"a=1&" * 2_000,
    b"?" + b"a" * 60_000,
    b"?cursor[]=1&cursor[a]=2",
    b"?a=%ED%A0%BD",
    b"?;=&&==",
    b"??",
    b"#",
]
PATHS = [b"/%00", b"/%ff", b"/\xff", b"//", b"/..%2f..%2f", b"/%2e%2e/", b";a=b", b"/" + b"x" * 20_000]
HEADERS = [
    b"Content-Length: -1",
    b"Content-Length: x",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Transfer-Encoding: x",
    b"Expect: 100-continue",
    b"Upgrade: websocket\r\nConnection: Upgrade",
    b"X: a\x00b",
    b"X: a\xffb",
    b"Cookie: " + b"a=b; " * 3_000,
    b"Cookie: sessionid=\xff\xfe; csrftoken=\xff",
    b"Cookie: sessionid=a\x00bcdefghijklmnopqrstuvwxyz012345",
    b"Authorization: Bearer \xff\xfe",
    b"Authorization: Bearer a\r\nAuthorization: Bearer b",
    b"Idempotency-Key: \xf0\x9f\x98\x80",
    b"Idempotency-Key: a\r\nIdempotency-Key: b",
    b"Last-Event-ID: 1\r\nLast-Event-ID: 2",
    b"Content-Type: application/json; charset=idna",
    b"Content-Type: multipart/form-data; boundary=\xff",
    b"Content-Type: multipart/form-data; boundary=x; charset=idna",
    b"Content-Type: multipart/form-data",
    b"Content-Type: application/x-www-form-urlencoded; charset=hex",
    b"Content-Type: " + b"x" * 20_000,
    b"Host: \xff",
    b"Host: [",
    b"X-Forwarded-Host: [",
    b"X-Forwarded-Proto: \xff",
    b"Origin: \xff\r\nReferer: \xff",
    b"X" * 70_000 + b": y",
    b"\r\n".join(b"X-%d: y" % n for n in range(200)),
]
BODIES = [
    b"",
    b"{",
    b"\xff\xfe",
    b'{"a": "\\ud800"}',
    b"[" * 50_000,
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff\x00"\r\n\r\n\xff\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--',
    b"--x\r\n\r\n--x--",
    b"a=%ff&b=%",
]


def requests_to(
    operation: APIOperation, known: Mapping[str, str], identities: Sequence[Identity], seed: int, count: int
) -> Iterator[tuple[str, bytes]]:
    """Yield descriptions and requests. The same seed produces the same requests."""
    rng = random.Random(f"{seed} {operation.method} {operation.path}")
    path = operation.path.format(**known).encode()
    for _ in range(count):
        query, suffix, header, body = b"", b"", b"X-A: b", b"{}"
        kind = rng.choice(["query", "path", "header", "header", "body"])
        if kind == "query":
            query = rng.choice(QUERIES)
        elif kind == "path":
            suffix = rng.choice(PATHS)
        elif kind == "header":
            header = rng.choice(HEADERS)
        else:
            body = rng.choice(BODIES)
            boundary = rng.choice(
                [b"application/json", b"multipart/form-data; boundary=x", b"text/plain", b""]
            )
            header = b"Content-Type: " + boundary
        head = [operation.method.upper().encode() + b" " + path + suffix + query + b" HTTP/1.1", header]
        if not header.startswith(b"Host"):
            head.append(b"Host: localhost")
        if b"Content-Length" not in header and b"Transfer" not in header:
            head.append(b"Content-Length: %d" % len(body))
        identity = rng.choice(identities)
        head += [f"{name}: {value}".encode("latin-1") for name, value in identity.headers.items()]
        if identity.cookies:
            cookies = "; ".join(f"{name}={value}" for name, value in identity.cookies.items())
            head.append(f"Cookie: {cookies}".encode())
        head.append(b"Connection: close")
        yield f"{kind} {(query + suffix + header + body)[:120]!r}", b"\r\n".join(head) + b"\r\n\r\n" + body


def status_of(url: str, request: bytes) -> int | None:
    """Send the request. Return the status of the response, or None if the server sent none, for example
    because it waits for more bytes."""
    parts = urlsplit(url)
    with socket.create_connection(
        (parts.hostname or "localhost", parts.port or 80), timeout=SECONDS
    ) as connection:
        try:
            connection.sendall(request)
            start = connection.recv(64)
        except (ConnectionError, TimeoutError):
            return None
    words = start.split(b" ", 2)
    return int(words[1]) if start.startswith(b"HTTP/") and len(words) > 1 else None
