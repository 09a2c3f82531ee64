"""A real web server on the test database, started in the same way as in embedded/supervisor.py."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from annotation.accounts.tokens import create_token
from annotation.models import User
from embedded import processes, web

STOP_SECONDS = 20
REQUEST_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class WebServer:
    port: int
    process_id: int
    tokens: dict[UUID, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, *, user: User | None = None, body: object = None, **headers: str
    ) -> Answer:
        """Sends one request on a separate connection. Raises TimeoutError after REQUEST_SECONDS."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if user is not None:
            headers["Authorization"] = self.credentials(user)
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(
            f"http://{web.LOOPBACK}:{self.port}{path}", data=data, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as found:
                return Answer(found.status, _lower(found), found.read())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, _lower(refused), refused.read())

    def credentials(self, user: User) -> str:
        if user.pk not in self.tokens:
            self.tokens[user.pk] = create_token(user=user, name="tests")[1]
        return f"Bearer {self.tokens[user.pk]}"


def _lower(response: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


@contextmanager
def web_server(log: Path, **environment: str) -> Iterator[WebServer]:
    """A web server, which is stopped when the context ends."""
    listener = web.listen(0)
    process = processes.spawn(
        [sys.executable, *web.program(listener)],
        log=log,
        cwd=settings.BASE_DIR,
        env=os.environ | {"RANKLOOP_PROCESS": "web"} | environment,
        pass_fds=[listener.fileno()],
    )
    server = WebServer(web.port_of(listener), process.pid)
    try:
        deadline = time.monotonic() + REQUEST_SECONDS
        while server.ask("GET", "/api/v1/auth/me").status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield server
    finally:
        processes.stop(process, [(signal.SIGTERM, STOP_SECONDS)])
        listener.close()
