"""Provide a web server for requests: the running server, or a temporary server that stops when it is no
longer needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from embedded import processes, web
from embedded.state import StateFolder

READY_SECONDS = 60.0
STOP_SECONDS = 5.0


@contextmanager
def reachable_web(url: str | None) -> Iterator[str]:
    """Yield the address of this installation's web server: `url` if given, or that of the running stack.

    If no stack is running, a new server is started, and stopped when the context ends.
    """
    running = StateFolder(settings.STATE).running()
    known = url or (running.address if running is not None else "")
    if known:
        yield known.rstrip("/")
        return
    with web.listen(0) as listener:
        port = web.port_of(listener)
        log = StateFolder(settings.STATE).logs / "web-of-a-command.log"
        process = processes.spawn(
            [sys.executable, *web.program(listener)],
            log=log,
            env=dict(os.environ),
            cwd=settings.BASE_DIR,
            pass_fds=[listener.fileno()],
        )
        try:
            processes.wait_until(
                lambda: web.healthy(port), process, name="The web server", log=log, seconds=READY_SECONDS
            )
            yield f"http://{web.LOOPBACK}:{port}"
        finally:
            processes.stop(process, [(signal.SIGTERM, STOP_SECONDS)])
