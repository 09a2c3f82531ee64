"""Forwards heavy requests from the web process to separate processes, and limits how many run at the same
time."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

from config.heavy.frames import Kind, frame, read
from config.heavy.routes import Heavy, HeavyRoutes
from config.logs.context import REQUEST_ID_HEADER, current_context, current_request_id
from config.problems import ProblemRenderer, problem_body
from embedded.processes import spawn

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent.parent
SCOPE_KEYS = (
    *("type", "asgi", "http_version", "server", "client", "scheme", "method", "root_path"),
    *("path", "raw_path", "query_string", "headers"),
)
# Maximum number of running requests per web process. A download mostly waits for its client's connection, so
# more downloads than reports can run at the same time.
AT_ONCE = {Heavy.REPORT: 2, Heavy.DOWNLOAD: 4}
# The limits per user are lower, so that one user can't occupy all slots.
AT_ONCE_PER_USER = {Heavy.REPORT: 1, Heavy.DOWNLOAD: 2}
MAX_WAITING = 128
MAX_OF_USER = 32
SECONDS_TO_FIRST_BYTE = 600.0
# A fork takes milliseconds. Before its first fork, the fork server loads all views, which takes seconds.
SECONDS_TO_FORK = 30.0
SECONDS_TO_FIRST_FORK = 120.0
RETRY_AFTER_SECONDS = 10

# The fork server must not run background threads, because a fork does not copy threads. If a thread held a
# lock during the fork, the lock would stay locked in the child.
ENVIRONMENT = {
    "RANKLOOP_PROCESS": "heavy",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ProcessDied(Exception):
    """Raised if a request's process ended before it sent anything."""


class NotStarted(ProcessDied):
    """Raised if no process was forked for a request, or if the process ended before it began to answer."""


class TooManyWaiting(Exception):
    """Raised if MAX_WAITING heavy requests are waiting, or if the user has MAX_OF_USER unfinished
    requests."""


@dataclass
class _Places:
    """The slots for heavy requests of one kind."""

    free: asyncio.Semaphore
    of_user: dict[object, _UserPlaces] = field(default_factory=dict)


@dataclass
class _UserPlaces:
    free: asyncio.Semaphore
    requests: int = 0


class HeavyRequests:
    """Forwards requests and keeps their number within limits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._routes = HeavyRoutes()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._has_forked = False
        self._places = {kind: _Places(asyncio.Semaphore(number)) for kind, number in AT_ONCE.items()}
        self._waiting = 0

    def kind_of(self, scope: Mapping[str, Any]) -> Heavy | None:
        """The kind of a heavy request; None if the request is not heavy."""
        return self._routes.kind_of(scope["method"], scope["path"], scope.get("query_string", b""))

    async def answer(
        self,
        kind: Heavy,
        user: object,
        scope: Mapping[str, Any],
        body: IO[bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        """Sends the response to the user's request. If the client disconnects, a waiting request leaves the
        queue, and the process of a running request is killed."""
        answering = asyncio.ensure_future(self._answer(kind, user, scope, body, send, time.monotonic()))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            answering.cancel()
            gone.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)

    async def _answer(
        self, kind: Heavy, user: object, scope: Mapping[str, Any], body: IO[bytes], send: Send, arrived: float
    ) -> None:
        try:
            async with self._place(kind, user):
                try:
                    await self._forward(scope, body, send, arrived)
                except ProcessDied as died:
                    if scope["method"] not in ("GET", "HEAD") and not isinstance(died, NotStarted):
                        raise
                    await self._forward(scope, body, send, arrived)  # the fork server may have been killed
        except ProcessDied:
            logger.error("The process for a heavy request ended without a response.")
            await _refuse(
                send,
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "The process that computed the response ended unexpectedly. See the server log.",
            )
        except TooManyWaiting:
            await _refuse(
                send,
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server is busy with other reports and exports. Try again in a moment.",
            )

    @asynccontextmanager
    async def _place(self, kind: Heavy, user: object) -> AsyncIterator[None]:
        """Waits for one of the user's own slots, and then for a slot of this kind."""
        places = self._places[kind]
        own = places.of_user.get(user) or _UserPlaces(asyncio.Semaphore(AT_ONCE_PER_USER[kind]))
        if self._waiting >= MAX_WAITING or own.requests >= MAX_OF_USER:
            raise TooManyWaiting
        places.of_user[user] = own
        own.requests += 1
        self._waiting += 1
        waiting = True
        try:
            async with own.free, places.free:
                self._waiting -= 1
                waiting = False
                yield
        finally:
            self._waiting -= waiting
            own.requests -= 1
            if own.requests == 0:
                del places.of_user[user]

    async def _forward(self, scope: Mapping[str, Any], body: IO[bytes], send: Send, arrived: float) -> None:
        here, there = socket.socketpair()
        try:
            server = self._start(there, body)
        finally:
            there.close()
        reader, writer = await asyncio.open_connection(sock=here)
        try:
            writer.write(frame(Kind.REQUEST, pickle.dumps((_forwarded(scope), arrived))))
            await self._forked(reader, server)
            await _relay(reader, send)
        finally:
            writer.close()

    async def _forked(self, reader: asyncio.StreamReader, server: subprocess.Popen[bytes] | None) -> None:
        """Waits until the request's process has started. A fork server that does not fork in time is
        considered hung. It is killed, because it would delay all further requests."""
        limit = SECONDS_TO_FORK if self._has_forked else SECONDS_TO_FIRST_FORK
        try:
            async with asyncio.timeout(limit):
                await read(reader)
            self._has_forked = True
        except (EOFError, ConnectionError):
            raise NotStarted from None
        except TimeoutError:
            if self._server is server:
                logger.error("The process for heavy requests is not responding and will be started again.")
                self._forget_server()
            raise NotStarted from None

    def _start(self, connection: socket.socket, body: IO[bytes]) -> subprocess.Popen[bytes] | None:
        """Requests a process from the fork server, and returns the fork server that received the request."""
        for _ in range(2):  # the fork server may have ended since the last request
            control = self._fork_server()
            try:
                with _as_file(body) as file:
                    socket.send_fds(control, [b"R"], [connection.fileno(), file.fileno()])
            except OSError:
                self._forget_server()
            else:
                return self._server
        raise RuntimeError("The process for heavy requests can't be started.")

    def _fork_server(self) -> socket.socket:
        if self._server is not None and self._server.poll() is not None:
            self._forget_server()
        if self._control is None:
            self._control, theirs = socket.socketpair()
            self._control.setblocking(False)  # a hung server must not block the event loop
            with theirs:
                # The kernel sends the parent-death signal when the thread that started the fork server ends.
                # This thread runs the event loop, so it lives as long as the process.
                self._server = spawn(
                    [sys.executable, "-m", "config.heavy.fork_server", str(theirs.fileno())],
                    log=None,
                    env=os.environ | ENVIRONMENT,
                    cwd=ROOT,
                    pass_fds=(theirs.fileno(),),
                    death_signal=signal.SIGKILL,
                )
        return self._control

    def _forget_server(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
        self._server = self._control = None
        self._has_forked = False


@contextmanager
def _as_file(body: IO[bytes]) -> Iterator[IO[bytes]]:
    """The body as a file with a descriptor. A small body, which is kept in memory, is copied to such a
    file."""
    body.seek(0)
    try:
        body.fileno()
    except io.UnsupportedOperation:
        with os.fdopen(os.memfd_create("body"), "w+b") as file:
            file.write(body.read())
            file.seek(0)
            yield file
    else:
        yield body


def _forwarded(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of the scope that the request's process needs, with the request ID as a header. The log lines
    of both processes therefore have the same ID."""
    name = REQUEST_ID_HEADER.lower().encode()
    headers = [pair for pair in scope["headers"] if pair[0] != name]
    headers.append((name, current_request_id().encode()))
    return {key: scope[key] for key in SCOPE_KEYS if key in scope} | {"headers": headers}


async def _relay(reader: asyncio.StreamReader, send: Send) -> None:
    """Sends the response of the request's process to the client."""
    try:
        async with asyncio.timeout(SECONDS_TO_FIRST_BYTE):
            _, content = await read(reader)
    except (EOFError, ConnectionError):
        raise ProcessDied from None
    except TimeoutError:
        detail = f"The response was not ready after {SECONDS_TO_FIRST_BYTE / 60:.0f} minutes."
        await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, detail)
        return
    status, headers, user_id = pickle.loads(content)
    if (context := current_context()) is not None:
        context.user_id = user_id
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while True:
        # An EOFError here ends the connection, so that the client notices that the body is incomplete.
        kind, content = await read(reader)
        if kind is Kind.END:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await send({"type": "http.response.body", "body": content, "more_body": True})


async def _refuse(send: Send, status: HTTPStatus, detail: str) -> None:
    body = json.dumps(problem_body(status=status, detail=detail)).encode()
    headers = [
        (b"content-type", ProblemRenderer.media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
