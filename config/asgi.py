"""The ASGI application: one thread runs a whole request, and the event loop sends streamed responses.

Django's own handler starts a thread for each request. For every middleware method that isn't a coroutine, the
handler switches to a thread and back, about ten times per request. With 16 concurrent annotators, this
overhead took almost half of the web process's time. An answer (a claim and a submit) took 19 to 25 ms instead
of 11 to 14 ms.

The a2wsgi package is about as fast: an answer takes 9.6 ms of processor time, compared with 9.4 ms with this
handler. However, a2wsgi has three faults. If a request is aborted, a2wsgi passes the truncated body to views.
Eight slow uploads block all its threads. Responses can't be streamed asynchronously.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import IO, Any

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections
from django.http.response import HttpResponseBase, JsonResponse
from django.urls import set_script_prefix

# The threads share one interpreter, so additional threads would only wait for each other.
THREADS = 8
# The multipart form around an upload of the maximum size.
FORM_BYTES = 2**20

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def max_body_bytes() -> int:
    """A limit is needed here, because bodies are written to a file before the sender is authenticated."""
    return settings.IMPORT_MAX_BYTES + FORM_BYTES


class BodyTooLarge(Exception):
    """Raised if a request body exceeds `max_body_bytes`."""


class OneThreadPerRequest(ASGIHandler):
    """Reads bodies and sends responses like Django's handler. Unlike Django's handler, this handler runs the
    middleware and the view in one thread, like a WSGI server."""

    def __init__(self) -> None:
        # ASGIHandler.__init__ is not called, because it would load the middleware for coroutines.
        self.load_middleware(is_async=False)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is supported, not {scope['type']}.")
        try:
            body = await self.read_body(_limited(scope, receive))
        except RequestAborted:
            return
        except BodyTooLarge:
            await self.send_response(_refusal(), send)
            return
        except OSError as error:  # a large body is stored in a temporary file
            if (full := _full_disk(error)) is None:
                raise
            await self.send_response(full, send)
            return
        try:
            answer = contextvars.copy_context().run
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(self._threads, answer, self._answer, scope, body)
            if response.streaming:
                async with ThreadSensitiveContext():
                    await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)
        finally:
            body.close()

    def _answer(self, scope: dict[str, Any], body: IO[bytes]) -> HttpResponseBase:
        """Send Django's request signals and run the view in one thread, which also owns the request's
        database connection."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)
        response = refused if request is None else self.get_response(request)
        assert response is not None  # if `request` is None, `refused` is a response
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if response.streaming:
            close_old_connections()  # must run in this thread; another thread calls response.close()
        else:
            response.close()
        return response

    async def _stream(self, response: HttpResponseBase, receive: Receive, send: Send) -> None:
        """Send the response until the stream ends or the client disconnects."""
        sending = asyncio.ensure_future(self.send_response(response, send))
        gone = asyncio.ensure_future(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await sync_to_async(response.close)()


def _limited(scope: Mapping[str, Any], receive: Receive) -> Receive:
    """Wraps `receive` so that it raises BodyTooLarge once the body, or its declared length, exceeds the
    limit."""
    limit = max_body_bytes()
    announced = dict(scope.get("headers", ())).get(b"content-length", b"")
    too_large = announced.isdigit() and int(announced) > limit
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        if too_large:
            raise BodyTooLarge
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise BodyTooLarge
        return message

    return limited


def _refusal() -> HttpResponseBase:
    from config.problems import problem_body  # imported here, because the import needs the settings

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    body = problem_body(status=status, detail=f"A request body can have at most {max_body_bytes():,} bytes.")
    # The rest of the body is not read, so the connection can't be reused for another request.
    kind, headers = "application/problem+json", {"Connection": "close"}
    return JsonResponse(body, status=status, content_type=kind, headers=headers)


def _full_disk(error: OSError) -> HttpResponseBase | None:
    from config.full_disk import full_disk_problem  # imported here, because the import needs the settings
    from config.problems import problem_body

    if (full := full_disk_problem(error)) is None:
        return None
    body = problem_body(status=full.status, detail=full.detail, type=full.type)
    kind, headers = "application/problem+json", {"Connection": "close"}
    return JsonResponse(body, status=full.status, content_type=kind, headers=headers)


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)
application = OneThreadPerRequest()
