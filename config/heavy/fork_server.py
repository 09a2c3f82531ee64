"""The process from which heavy requests are forked: `python -m config.heavy.fork_server DESCRIPTOR`.

The fork server has already loaded Django and all views, so a request starts within milliseconds. Its only
client is the web process that started it. When the web process ends, this process and its children end.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import IO, Any

from config.heavy.frames import Kind, frame, receive
from config.logs.context import current_context, user_id_of
from config.requests.arrival import set_arrival
from embedded.processes import die_with_parent

CHUNK_BYTES = 2**18


def serve(client: socket.socket, application: Any) -> None:
    """Forks a process for each request until the client closes the connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    while True:
        message, descriptors, _, _ = socket.recv_fds(client, 1, 2)
        if not message:
            return
        server = os.getpid()
        if os.fork() == 0:
            _answer_and_exit(client, descriptors, server, application)
        for descriptor in descriptors:
            os.close(descriptor)


def _answer_and_exit(client: socket.socket, descriptors: list[int], server: int, application: Any) -> None:
    code = 1
    try:
        client.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(signal.SIGKILL, parent=server)()
        connection = socket.socket(fileno=descriptors[0])
        with os.fdopen(descriptors[1], "rb") as body:
            _answer(connection, body, application)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)  # a child must never return into `serve`


def _answer(connection: socket.socket, body: IO[bytes], application: Any) -> None:
    connection.sendall(frame(Kind.FORKED))
    _, content = receive(connection)
    scope: dict[str, Any]
    scope, arrived = pickle.loads(content)  # safe, because our own web process sent the data
    set_arrival(arrived)
    threading.Thread(target=_exit_with_client, args=[connection], daemon=True).start()

    complete = False

    async def receive_body() -> dict[str, Any]:
        nonlocal complete
        if complete:
            await asyncio.Event().wait()  # `_exit_with_client` ends the process on a disconnect
        part = body.read(CHUNK_BYTES)
        complete = len(part) < CHUNK_BYTES
        return {"type": "http.request", "body": part, "more_body": not complete}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [tuple(pair) for pair in message.get("headers", ())]
            connection.sendall(frame(Kind.START, pickle.dumps((message["status"], headers, _user_id()))))
            return
        if message.get("body"):
            connection.sendall(frame(Kind.BODY, bytes(message["body"])))
        if not message.get("more_body", False):
            connection.sendall(frame(Kind.END))

    asyncio.run(application(scope, receive_body, send))


def _user_id() -> str | None:
    context = current_context()
    return None if context is None or context.request is None else user_id_of(context.request)


def _exit_with_client(connection: socket.socket) -> None:
    """Ends this process as soon as the web process closes the connection. Postgres then cancels the query
    (client_connection_check_interval) and rolls back."""
    try:
        connection.recv(1)
    finally:
        os._exit(0)


if __name__ == "__main__":
    from config import priority
    from config.asgi import OneThreadPerRequest
    from config.logs.asgi import LoggedRequests

    priority.yield_to_annotators(priority.REPORTS_NICE)
    # Without this call, a child's first garbage collection would copy every page that it visits.
    gc.freeze()
    # The web process writes the request's line in the access log.
    served = LoggedRequests(OneThreadPerRequest(), access_lines=False)
    serve(socket.socket(fileno=int(sys.argv[1])), served)
