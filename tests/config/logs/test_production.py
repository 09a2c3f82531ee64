"""In production, the web server and the workers log JSON lines and report errors to Sentry. Neither the lines
nor the reports contain secrets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from config.celery import app
from config.logs.context import log_fields
from embedded import processes, web
from tests.config.logs.sentry_server import SentryServer, sentry_server
from tests.config.test_production import SAFE
from tests.embedded.running import eventually
from tests.workers import worker

pytestmark = pytest.mark.usefixtures("test_database")

SECRET = "recognisable-secret-5150"
REQUEST_ID = "client-chosen-17"
STOP_SECONDS = 10


@pytest.fixture
def production(test_database: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[SentryServer]:
    """A Sentry server, to which the processes of the test report errors. The processes run in production
    mode."""
    with sentry_server() as server:
        for name in ("RANKLOOP_ENV", "SECRET_KEY", "ALLOWED_HOSTS"):
            monkeypatch.setenv(name, SAFE[name])
        monkeypatch.setenv("SENTRY_DSN", server.dsn)
        monkeypatch.setenv("SENTRY_RELEASE", "rankloop@9.9")
        yield server


@contextmanager
def serving(log: Path) -> Iterator[int]:
    """The port of a web server with additional views that fail."""
    listener = web.listen(0)
    port = web.port_of(listener)
    process = processes.spawn(
        [sys.executable, *web.program(listener)],
        log=log,
        cwd=settings.BASE_DIR,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.config.logs.faulty_settings"},
        pass_fds=[listener.fileno()],
    )
    try:
        eventually(lambda: web.healthy(port), seconds=60, what=log.read_text())
        yield port
    finally:
        processes.stop(process, [(signal.SIGTERM, STOP_SECONDS)])
        listener.close()


def ask(port: int, method: str, path: str, body: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {
        "Content-Type": "application/json",
        "Cookie": f"sessionid={SECRET}",
        "Authorization": f"Token {SECRET}",
        "Referer": f"http://127.0.0.1/?token={SECRET}",
        "X-Request-ID": REQUEST_ID,
    }
    connection.request(method, path, json.dumps(body) if body else None, headers)
    return connection.getresponse()


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Parses the lines of the log. Each line except Celery's shutdown message must be a JSON object."""
    farewell = "worker: Warm shutdown (MainProcess)"
    return [json.loads(line) for line in log.read_text().splitlines() if line not in ("", farewell)]


def test_errors_of_the_web_server_are_logged_and_reported(production: SentryServer, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with serving(log) as port:
        answer = ask(port, "POST", f"/faulty/row?token={SECRET}", {"secret": SECRET})
        assert answer.status == 500
        assert json.loads(answer.read())["request_id"] == REQUEST_ID
        with pytest.raises(http.client.IncompleteRead):
            ask(port, "GET", f"/faulty/stream?secret={SECRET}").read()
        eventually(lambda: len(production.events) == 2, what="Sentry has both errors")
    row, stream = (line for line in lines_of(log) if line["level"] == "ERROR")
    assert (row["logger"], row["path"], row["request_id"]) == ("django.request", "/faulty/row", REQUEST_ID)
    assert "IntegrityError: [23505] duplicate key value violates unique constraint" in row["exception"]
    assert row["exception"].endswith("RuntimeError: … is taken")
    assert (stream["logger"], stream["request_id"]) == ("uvicorn.error", REQUEST_ID)
    assert "ValueError" in stream["exception"]
    assert SECRET not in log.read_text()

    received = b"".join(production.received).decode()
    assert SECRET not in received
    (event,) = (event for event in production.events if event["logger"] == "django.request")
    assert event["tags"]["request_id"] == REQUEST_ID
    assert (event["environment"], event["release"]) == ("production", "rankloop@9.9")
    assert event["request"] == {"method": "POST", "url": "/faulty/row"}
    assert {"RuntimeError", "IntegrityError"} <= {each["type"] for each in event["exception"]["values"]}
    frames = [frame for each in event["exception"]["values"] for frame in each["stacktrace"]["frames"]]
    assert "faulty_urls.py" in received
    assert not [frame for frame in frames if "vars" in frame]


def test_errors_of_a_worker_are_logged_and_reported(production: SentryServer, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    app.control.purge()
    with log_fields(request_id=REQUEST_ID), worker("default", log):
        app.send_task("annotation.tasks.execute_import", args=[SECRET], queue="default")
        eventually(lambda: production.events, seconds=60, what="Sentry has the error")
    (failed,) = (line for line in lines_of(log) if line["level"] == "ERROR")
    task = "annotation.tasks.execute_import"
    assert (failed["task"], failed["request_id"]) == (task, REQUEST_ID)
    assert failed["exception"].endswith("ValueError: badly formed hexadecimal UUID string")
    (ended,) = (line for line in lines_of(log) if line["logger"] == "rankloop.tasks")
    assert (ended["state"], ended["task"], ended["request_id"]) == ("FAILURE", task, REQUEST_ID)
    assert production.events[0]["tags"]["request_id"] == REQUEST_ID
    assert SECRET not in log.read_text()
    assert SECRET not in b"".join(production.received).decode()
