"""The ASGI application: one thread runs a whole request, and the event loop sends streamed responses.

Django's own handler starts a thread for each request. For every middleware method that isn't a coroutine, the
handler switches to a thread and back, about ten times per request. With 16 concurrent annotators, this
overhead took almost half of the web process's time. An answer (a claim and a submission) took 19 to 25 ms
instead of 11 to 14 ms.

The a2wsgi package is about as fast: an answer takes 9.6 ms of processor time, compared with 9.4 ms with this
handler. However, a2wsgi has three faults. If a request is aborted, a2wsgi passes the truncated body to views.
Eight slow uploads block all of a2wsgi's threads. Responses can't be streamed asynchronously.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import os
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
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from config import priority
from config.heavy.forwarding import HeavyRequests
from config.logs.asgi import LoggedRequests
from config.requests.bodies import (
    Receive,
    Refused,
    Send,
    Uploads,
    lingering,
    read_body,
    with_length,
    without_body,
)
from config.requests.heads import check_head
from config.requests.proxies import client_scope

# The threads share one interpreter, so additional threads would only wait for each other.
THREADS = 8


class OneThreadPerRequest(ASGIHandler):
    """Reads bodies and sends responses like Django's handler, but runs the middleware and the view in one
    thread, like a WSGI server."""

    def __init__(self) -> None:
        # ASGIHandler.__init__ is not called, because it would load the middleware for coroutines.
        self.load_middleware(is_async=False)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._heavy = HeavyRequests() if settings.PROCESS == "web" else None
        if settings.PROCESS == "web":
            priority.serve_annotators()
        self._uploads = Uploads()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is supported, not {scope['type']}.")

        async def check() -> HttpResponseBase:
            return await self._in_thread(without_body(scope), io.BytesIO())

        try:
            check_head(scope)
            scope = client_scope(scope)
            body = await read_body(scope, receive, check=check, uploads=self._uploads)
        except RequestAborted:
            return
        except Refused as refused:
            await self.send_response(refused.response, lingering(send, receive))
            return
        try:
            if self._heavy is not None and (heavy := self._heavy.kind_of(scope)) is not None:
                # The request is authenticated first. A refused request therefore occupies no slot, and a
                # user's limit covers all of the user's tokens.
                checked = await check()
                if checked.status_code != HTTPStatus.NO_CONTENT:
                    await self.send_response(checked, send)
                    return
                sender = getattr(checked, "sender", None)
                await self._heavy.answer(heavy, sender, with_length(scope, body), body.file, receive, send)
                return
            response = await self._in_thread(with_length(scope, body), body.file)
            if response.streaming:
                async with ThreadSensitiveContext():
                    await self._stream(response, receive, send)
            else:
                await self.send_response(response, send)
        finally:
            body.close()

    async def _in_thread(self, scope: dict[str, Any], body: IO[bytes]) -> HttpResponseBase:
        answer = contextvars.copy_context().run
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, answer, self._answer, scope, body)

    def _answer(self, scope: dict[str, Any], body: IO[bytes]) -> HttpResponseBase:
        """Sends Django's request signals and runs the view in one thread, which also owns the request's
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
        """Sends the response until the stream ends or the client disconnects."""
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


os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)
application = LoggedRequests(OneThreadPerRequest())
