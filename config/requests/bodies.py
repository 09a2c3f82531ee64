"""Limits on request bodies, checked before a body is read.

Unauthenticated clients can send at most `OPEN_BYTES`. A larger body is read only after the request has passed
all checks that need no body: the login, the CSRF token, the access table and the role in the project. Only
uploads can be larger than `JSON_BYTES`, and only uploads are written to a temporary file.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.http.response import HttpResponseBase, JsonResponse

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KIB, MIB = 2**10, 2**20
OPEN_BYTES = 256 * KIB
# The largest valid JSON body is an answer with a rewrite of 100,000 characters. Some clients escape each
# character outside ASCII; such an escape has up to 12 bytes.
JSON_BYTES = 2 * MIB
# The number of bytes that the multipart form can add to an upload.
FORM_BYTES = MIB

# A client that sends nothing for this long is disconnected.
IDLE_SECONDS = 30.0
BODY_SECONDS = 60.0
# At the default limit of 1 GiB, a client must send at least 150 kB per second.
UPLOAD_SECONDS = 2 * 3600.0

# Limits per web process.
UPLOADS_PER_USER = 3
UPLOADS = 16

# A client that is still sending when its connection is closed doesn't see the response. The rest of a refused
# body is therefore read and discarded for this long.
LINGER_SECONDS = 1.0


@dataclass(frozen=True)
class Limit:
    bytes: int
    seconds: float
    is_upload: bool = False

    @property
    def open_bytes(self) -> int:
        """The number of bytes that are read before the sender is authenticated."""
        return 0 if self.is_upload else min(self.bytes, OPEN_BYTES)


@cache
def _table(upload_bytes: int) -> tuple[tuple[re.Pattern[str], Limit], ...]:
    """The limit for each URL. The first pattern that matches the method and the path applies."""
    upload = Limit(upload_bytes, UPLOAD_SECONDS, is_upload=True)
    return (
        (re.compile(r"POST /api/v1/projects/[^/]+/imports/(preview)?"), upload),
        (re.compile(r"\w+ /api/v1/auth/.*"), Limit(OPEN_BYTES, BODY_SECONDS)),
        (re.compile(r"(POST|PUT|PATCH) /api/v1/.*"), Limit(JSON_BYTES, BODY_SECONDS)),
        (re.compile(r".*", re.DOTALL), Limit(OPEN_BYTES, BODY_SECONDS)),
    )


def limit_of(method: str, path: str) -> Limit:
    address = f"{method} {path}"
    table = _table(settings.IMPORT_MAX_BYTES + FORM_BYTES)
    return next(limit for pattern, limit in table if pattern.fullmatch(address))


class Refused(Exception):
    """Raised if a request is refused because of its head or its body."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass
class Uploads:
    """The uploads in progress in this process, by user."""

    _open: Counter[object] = field(default_factory=Counter)

    @contextmanager
    def one_of(self, user: object) -> Iterator[None]:
        if self._open[user] >= UPLOADS_PER_USER or self._open.total() >= UPLOADS:
            detail = "Too many uploads are in progress. Wait until one of them has finished, then try again."
            raise Refused(refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": "30"}))
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            self._open += Counter()  # forgets users without uploads


@dataclass
class Body:
    file: IO[bytes]
    size: int = 0
    _slot: AbstractContextManager[None] = field(default_factory=nullcontext)

    def close(self) -> None:
        self.file.close()
        self._slot.__exit__(None, None, None)


Check = Callable[[], Awaitable[HttpResponseBase]]
BEFORE_BODY = "rankloop.before_body"  # marks the scope of a request without its body
_BODY_HEADERS = {b"content-length", b"content-type", b"transfer-encoding"}


async def read_body(scope: Mapping[str, Any], receive: Receive, *, check: Check, uploads: Uploads) -> Body:
    """Reads the request's body.

    `check` returns the response of `config.requests.before_body` to the request without its body. `check` is
    called before more than `Limit.open_bytes` bytes are accepted. Raises Refused for a body that is too
    large, too slow or not allowed, and RequestAborted if the client disconnects.
    """
    limit = limit_of(scope["method"], scope["path"])
    announced = _announced(scope)
    if announced > limit.bytes:
        raise Refused(_too_large(limit))
    most = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    body = Body(tempfile.SpooledTemporaryFile(max_size=most, mode="w+b"))  # noqa: SIM115 (closed by Body)
    try:
        await _fill(body, limit, announced, receive, check, uploads)
    except BaseException:
        body.close()
        raise
    body.file.seek(0)
    return body


async def _fill(
    body: Body, limit: Limit, announced: int, receive: Receive, check: Check, uploads: Uploads
) -> None:
    async def admit() -> None:
        response = await check()
        if response.status_code != HTTPStatus.NO_CONTENT:
            response.headers["Connection"] = "close"
            raise Refused(response)
        if limit.is_upload:
            slot = uploads.one_of(getattr(response, "sender", None))
            slot.__enter__()
            body._slot = slot

    is_admitted = False
    if announced > limit.open_bytes:
        await admit()
        is_admitted = True
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit.seconds
    try:
        async with asyncio.timeout_at(min(loop.time() + IDLE_SECONDS, deadline)) as clock:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestAborted
                chunk = message.get("body", b"")
                body.size += len(chunk)
                if body.size > limit.bytes:
                    raise Refused(_too_large(limit))
                if body.size > limit.open_bytes and not is_admitted:
                    clock.reschedule(None)
                    await admit()
                    is_admitted = True
                body.file.write(chunk)
                if not message.get("more_body", False):
                    return
                clock.reschedule(min(loop.time() + IDLE_SECONDS, deadline))
    except TimeoutError:
        detail = (
            f"The body did not arrive in time: a client must send it within {limit.seconds:,.0f} seconds,"
            f" without pausing for {IDLE_SECONDS:,.0f} seconds or longer."
        )
        raise Refused(refusal(HTTPStatus.REQUEST_TIMEOUT, detail)) from None
    except OSError as error:
        from config.full_disk import full_disk_problem  # imported here, because the import needs the settings

        if (full := full_disk_problem(error)) is None:
            raise
        raise Refused(refusal(HTTPStatus(full.status), full.detail, type=full.type)) from None


def _announced(scope: Mapping[str, Any]) -> int:
    """The declared Content-Length; 0 if there is none. The server refuses a Content-Length that is not a
    number."""
    text = dict(scope.get("headers", ())).get(b"content-length", b"")
    return int(text) if text.isdigit() and len(text) < 20 else 0


def _too_large(limit: Limit) -> HttpResponseBase:
    detail = f"A request body for this URL can have at most {limit.bytes:,} bytes."
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def refusal(
    status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None, *, type: str = "about:blank"
) -> HttpResponseBase:
    from config.problems import problem_body  # imported here, because the imports need the settings
    from config.requests.middleware import SECURITY_HEADERS

    answer = JsonResponse(problem_body(status=status, detail=detail, type=type), status=status)
    answer.headers["Content-Type"] = "application/problem+json"
    answer.headers["Content-Length"] = str(len(answer.content))
    for name, value in (SECURITY_HEADERS | {"X-Content-Type-Options": "nosniff"}).items():
        answer.headers[name] = value
    # The rest of the body is not read, so the connection can't be reused for another request.
    answer.headers["Connection"] = "close"
    for name, value in (headers or {}).items():
        answer.headers[name] = value
    return answer


def lingering(send: Send, receive: Receive) -> Send:
    """Wraps `send` so that the rest of the request's body is discarded before the response ends. The client
    has received the whole response by then, because the response has a Content-Length."""

    async def sent(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b""})

    return sent


def with_length(scope: Mapping[str, Any], body: Body) -> dict[str, Any]:
    """The scope with the body's length. Django ignores a body without a Content-Length, which a client may
    omit (chunked transfer)."""
    headers = [pair for pair in scope.get("headers", ()) if pair[0] != b"content-length"]
    if body.size:
        headers.append((b"content-length", str(body.size).encode()))
    return {**scope, "headers": headers}


def without_body(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The scope of the same request without a body, for `config.requests.before_body.BeforeBody`."""
    headers = [pair for pair in scope.get("headers", ()) if pair[0] not in _BODY_HEADERS]
    return {**scope, "headers": headers, BEFORE_BODY: True}
