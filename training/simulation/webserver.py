"""A web server to talk to: the one that runs on this state folder, or an own one for as long as it is
needed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from embedded import processes
from embedded.state import StateFolder

HOST = "127.0.0.1"
READY_SECONDS = 60.0
STOP_SECONDS = 5.0
HEALTH_TIMEOUT_SECONDS = 2.0


@contextmanager
def reachable_web(url: str | None) -> Iterator[str]:
    """The address of a web server of this installation: `url` as given, the running stack's, or a new one
    that is stopped at the end."""
    running = StateFolder(settings.STATE).running()
    known = url or (running.address if running is not None else "")
    if known:
        yield known.rstrip("/")
        return
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        log = StateFolder(settings.STATE).logs / "web-of-a-command.log"
        web = ["-m", "uvicorn", "config.asgi:application", f"--fd={listener.fileno()}", "--lifespan=off"]
        process = processes.spawn(
            [sys.executable, *web, "--no-access-log"],
            log=log,
            env=dict(os.environ),
            cwd=settings.BASE_DIR,
            pass_fds=[listener.fileno()],
        )
        try:
            processes.wait_until(
                lambda: healthy(port), process, name="The web server", log=log, seconds=READY_SECONDS
            )
            yield f"http://{HOST}:{port}"
        finally:
            processes.stop(process, [(signal.SIGTERM, STOP_SECONDS)])


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=HEALTH_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
