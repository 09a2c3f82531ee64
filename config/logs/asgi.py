"""ASGI middleware that gives each request its ID, logs it, and responds with 500 if the application fails."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from config.logs.context import REQUEST_ID_HEADER, current_context, enter, request_id_of, user_id_of
from config.logs.handlers import ACCESS

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

access = logging.getLogger(ACCESS)
logger = logging.getLogger(__name__)
_HEADER = REQUEST_ID_HEADER.lower().encode()
# The beginnings of paths that monitors and browsers request constantly.
_ROUTINE = ("/healthz", "/readyz", "/metrics", "/static/")
_MAX_PATH = 500


class LoggedRequests:
    def __init__(self, application: Application, *, access_lines: bool = True) -> None:
        self._application = application
        self._access_lines = access_lines

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        given = next((value for name, value in scope.get("headers", ()) if name == _HEADER), b"")
        request_id = request_id_of(given.decode("latin-1"))
        began = time.perf_counter()
        status: int | None = None

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                others = [(name, value) for name, value in message["headers"] if name.lower() != _HEADER]
                message = {**message, "headers": [*others, (_HEADER, request_id.encode())]}
            await send(message)

        # The fields stay until this request's asyncio task ends, so that uvicorn's log lines contain them
        # too.
        enter(request_id=request_id)
        try:
            await self._application(scope, receive, sending)
        except Exception:
            if status is not None:
                raise  # uvicorn logs the traceback and closes the connection
            logger.exception("The request failed outside of Django.")
            await _answer_500(sending)
        finally:
            if self._access_lines:
                _log_access(request_id, scope, status, time.perf_counter() - began, _user_id())


def _user_id() -> str | None:
    context = current_context()
    if context is None:
        return None
    return context.user_id if context.request is None else user_id_of(context.request)


def _log_access(
    request_id: str, scope: Mapping[str, Any], status: int | None, seconds: float, user: str | None
) -> None:
    method, path = scope.get("method", ""), scope.get("path", "")[:_MAX_PATH]
    if status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        level = logging.WARNING
    else:
        level = logging.DEBUG if path.startswith(_ROUTINE) else logging.INFO
    if not access.isEnabledFor(level):
        return
    # All fields are passed explicitly, because the line is formatted in another thread, without this
    # request's context.
    fields = {"request_id": request_id, "method": method, "path": path}
    fields |= {"duration_ms": round(seconds * 1000, 1)}
    fields |= {"status": status} if status is not None else {}
    fields |= {"user_id": user} if user is not None else {}
    outcome = "the client disconnected" if status is None else str(status)
    access.log(level, "%s %s: %s", method, path, outcome, extra={"fields": fields})


async def _answer_500(send: Send) -> None:
    from config.problems import internal_error  # imported here, because the import needs the settings

    body = json.dumps(internal_error()).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send(
        {"type": "http.response.start", "status": HTTPStatus.INTERNAL_SERVER_ERROR, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body})
