"""`/readyz` reports each component that prevents the server from working, and always responds in time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from config import readiness, views
from config.celery import app
from tests.storage.small_disk import fill, mounted

pytestmark = pytest.mark.django_db(transaction=True)
READY = {"status": "ok", "database": "ok", "broker": "ok", "storage": "ok"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raises the time limit of the checks, because the first connection to the broker can exceed the usual
    limit on a busy machine. Tests of the limit set their own value."""
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 30.0)


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTEFACTS = tmp_path
    settings.MIN_FREE_BYTES = 1
    return tmp_path


def test_server_is_ready_if_every_component_is_available(client: Client) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, READY)
    assert "no-store" in response["Cache-Control"]


def test_server_with_little_free_space_is_not_ready_but_alive(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MIN_FREE_BYTES = 1 << 60
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json() == {**READY, "status": "unavailable", "storage": "low on space"}
    assert str(settings.ARTEFACTS) in caplog.text
    assert client.get("/healthz").status_code == 200


def test_full_disk_is_reported(client: Client, settings: Settings, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        settings.ARTEFACTS = disk
        fill(disk)
        assert client.get("/readyz").json()["storage"] == "full"


def test_missing_artefacts_folder_is_reported(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "missing"
    assert client.get("/readyz").json()["storage"] == "not writable"


@pytest.fixture
def hung_broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hung = app.connection_for_write(f"redis://127.0.0.1:{port}/0")
        monkeypatch.setattr(views, "connection_for_one_try", lambda **options: hung)
        yield


@pytest.mark.usefixtures("hung_broker")
def test_hung_broker_delays_the_answer_only_up_to_the_limit(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.3)
    began, threads = time.monotonic(), threading.active_count()
    for _ in range(3):
        assert client.get("/readyz").json() == {**READY, "status": "unavailable", "broker": "timed out"}
    assert time.monotonic() - began < 3
    assert threading.active_count() <= threads + 1


def test_check_that_hung_is_run_again_after_it_has_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LIMIT_SECONDS", 0.05)
    hung = threading.Event()
    checks = {"disk": readiness.Check("disk", lambda: readiness.OK if hung.wait(10) else "late")}
    assert readiness.answers(checks) == {"disk": "timed out"}
    hung.set()
    time.sleep(0.05)
    assert readiness.answers(checks) == {"disk": "ok"}


def test_check_that_raises_is_reported_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> str:
        raise RuntimeError("surprise")

    assert readiness.answers({"disk": readiness.Check("disk", fail)}) == {"disk": "failed"}
    assert "surprise" in caplog.text


def test_readiness_accepts_only_get(client: Client) -> None:
    assert client.post("/readyz").status_code == 405
