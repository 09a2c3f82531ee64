"""Forwards heavy requests from the web process to separate processes, and limits how many run at the same
time."""

from __future__ import annotations

import asyncio
import hashlib
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
# Per web process. A download mostly waits for its client's connection, so more downloads can run at the same
# time.
AT_ONCE = {Heavy.REPORT: 2, Heavy.DOWNLOAD: 4}
# The limits per client are lower, so that one client can't occupy all slots.
AT_ONCE_PER_CLIENT = {Heavy.REPORT: 1, Heavy.DOWNLOAD: 2}
MAX_WAITING = 128
MAX_OF_CLIENT = 32
SECONDS_TO_FIRST_BYTE = 600.0
RETRY_AFTER_SECONDS = 10

# A fork does not copy threads. If a thread held a lock during the fork, the lock would stay locked in the
# child.
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


class TooManyWaiting(Exception):
    """Raised if MAX_WAITING heavy requests are waiting, or if MAX_OF_CLIENT of one client are unfinished."""


@dataclass
class _Places:
    """The slots for heavy requests of one kind."""

    free: asyncio.Semaphore
    of_client: dict[bytes, _ClientPlaces] = field(default_factory=dict)


@dataclass
class _ClientPlaces:
    free: asyncio.Semaphore
    users: int = 0


class HeavyRequests:
    """Forwards requests and keeps their number within limits. Belongs to one event loop."""

    def __init__(self) -> None:
        self._routes = HeavyRoutes()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._places = {kind: _Places(asyncio.Semaphore(number)) for kind, number in AT_ONCE.items()}
        self._waiting = 0

    def kind_of(self, scope: Mapping[str, Any]) -> Heavy | None:
        """The kind of a heavy request; None if the request is not heavy. A request without credentials is not
        heavy, because it is refused immediately."""
        heavy = self._routes.kind_of(scope["method"], scope["path"])
        return heavy if heavy is not None and _credentials(scope) else None

    async def answer(
        self, kind: Heavy, scope: Mapping[str, Any], body: IO[bytes], receive: Receive, send: Send
    ) -> None:
        """Sends the response. If the client disconnects, a waiting request leaves the queue, and the process
        of a running request is killed."""
        answering = asyncio.ensure_future(self._answer(kind, scope, body, send, time.monotonic()))
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
        self, kind: Heavy, scope: Mapping[str, Any], body: IO[bytes], send: Send, arrived: float
    ) -> None:
        try:
            async with self._place(kind, _client_of(scope)):
                try:
                    await self._forward(scope, body, send, arrived)
                except ProcessDied:
                    if scope["method"] not in ("GET", "HEAD"):
                        raise
                    await self._forward(scope, body, send, arrived)  # the fork server may have been killed
        except ProcessDied:
            logger.error("The process of a heavy request ended before it could respond.")
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
    async def _place(self, kind: Heavy, client: bytes) -> AsyncIterator[None]:
        """Waits for one of the client's own slots, and then for a slot of this kind."""
        places = self._places[kind]
        own = places.of_client.get(client) or _ClientPlaces(asyncio.Semaphore(AT_ONCE_PER_CLIENT[kind]))
        if self._waiting >= MAX_WAITING or own.users >= MAX_OF_CLIENT:
            raise TooManyWaiting
        places.of_client[client] = own
        own.users += 1
        self._waiting += 1
        waiting = True
        try:
            async with own.free, places.free:
                self._waiting -= 1
                waiting = False
                yield
        finally:
            self._waiting -= waiting
            own.users -= 1
            if own.users == 0:
                del places.of_client[client]

    async def _forward(self, scope: Mapping[str, Any], body: IO[bytes], send: Send, arrived: float) -> None:
        here, there = socket.socketpair()
        try:
            self._start(there, body)
        finally:
            there.close()
        reader, writer = await asyncio.open_connection(sock=here)
        try:
            writer.write(frame(Kind.REQUEST, pickle.dumps((_forwarded(scope), arrived))))
            await _relay(reader, send)
        finally:
            writer.close()

    def _start(self, connection: socket.socket, body: IO[bytes]) -> None:
        for _ in range(2):  # the fork server may have ended since the last request
            control = self._fork_server()
            try:
                with _as_file(body) as file:
                    socket.send_fds(control, [b"R"], [connection.fileno(), file.fileno()])
            except OSError:
                self._forget_server()
            else:
                return
        raise RuntimeError("The process for heavy requests can't be started.")

    def _fork_server(self) -> socket.socket:
        if self._server is not None and self._server.poll() is not None:
            self._forget_server()
        if self._control is None:
            self._control, theirs = socket.socketpair()
            with theirs:
                # The parent-death signal is tied to this thread. This is the event loop's thread, which lives
                # as long as the process.
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
    """The scope with the request ID, so that the log lines of both processes have the same ID."""
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


def _client_of(scope: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(_credentials(scope)).digest()


def _credentials(scope: Mapping[str, Any]) -> bytes:
    headers = dict(scope["headers"])
    return bytes(headers.get(b"authorization") or headers.get(b"cookie") or b"")
