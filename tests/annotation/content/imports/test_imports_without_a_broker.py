"""An import can be launched even if the broker hangs or is down. It is then queued, its phase states the
problem, and it starts once the broker responds again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.import_jobs import transitions
from annotation.content.import_jobs.execute import execute_import
from annotation.content.import_jobs.uploads import upload_path
from annotation.models import Import, Project, User
from config import wake
from config.wake import NOT_WOKEN
from embedded.valkey import Valkey
from tests.annotation.content.imports.jobs import upload
from training.models import TrainingRun
from training.runs.launch import launch_run
from training.tasks import sweep_orphaned_runs

pytestmark = pytest.mark.django_db(transaction=True)

ROW = b'{"prompt": "Q", "responses": ["yes", "no"]}\n'
SECONDS = 0.5
# The upper bound for the time that the three requests take together. With a connection timeout of SECONDS,
# they take less than a second. With Celery's default settings, they would take at least six seconds.
WAIT_AT_MOST_SECONDS = 5.0


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey", log=tmp_path / "valkey.log")
    server.launch()
    server.wait_ready()
    yield server
    if server.process.poll() is None:
        os.kill(server.process.pid, signal.SIGCONT)
    server.stop()


def hang(valkey: Valkey) -> None:
    os.kill(valkey.process.pid, signal.SIGSTOP)


def end_hanging(valkey: Valkey) -> None:
    os.kill(valkey.process.pid, signal.SIGCONT)


def start(valkey: Valkey) -> None:
    valkey.launch()
    valkey.wait_ready()


OUTAGES = [pytest.param(hang, end_hanging, id="hung"), pytest.param(Valkey.stop, start, id="down")]
Outage = Callable[[Valkey], None]


@pytest.fixture
def broker(valkey: Valkey, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Celery:
    """A Celery app that sends messages to the test's Valkey, with shorter time limits than usual."""
    settings.ARTEFACTS = tmp_path / "artefacts"
    app = Celery("rankloop", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    limits = {"socket_connect_timeout": SECONDS, "socket_timeout": SECONDS}
    app.conf.broker_url = valkey.url
    app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS | limits
    monkeypatch.setattr(wake, "app", app)
    monkeypatch.setattr(wake, "_paused_until", 0.0)
    return app


def waiting(broker: Celery, queue: str) -> int:
    """Returns the number of messages in the queue."""
    with broker.connection_for_write() as connection:
        count: int = connection.default_channel.client.llen(queue)
    return count


def end_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "_paused_until", time.monotonic())


@pytest.mark.parametrize(("begin", "end"), OUTAGES)
def test_import_waits_until_the_broker_responds_and_then_starts(
    begin: Outage,
    end: Outage,
    valkey: Valkey,
    broker: Celery,
    project: Project,
    mona: User,
    client_of: Callable[[User | None], APIClient],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_of(mona)
    begin(valkey)
    began = time.monotonic()
    launched = [upload(client, ROW), upload(client, ROW), from_hub(client)]
    assert time.monotonic() - began < WAIT_AT_MOST_SECONDS
    # Only the first request waits for the broker.
    assert caplog.text.count("The message queue is not responding") == 1
    for response in launched:
        assert response.status_code == HTTPStatus.ACCEPTED, response.content
        assert (response.json()["state"], response.json()["phase"]) == ("queued", NOT_WOKEN)
    ids = [UUID(response.json()["id"]) for response in launched]
    assert upload_path(ids[0]).read_bytes() == ROW

    end_pause(monkeypatch)
    transitions.sweep_imports()  # the broker is still not responding
    assert set(phases(client).values()) == {NOT_WOKEN}

    end(valkey)
    end_pause(monkeypatch)
    transitions.sweep_imports()
    assert waiting(broker, "imports") >= 3
    assert set(phases(client).values()) == {""}
    execute_import(import_id=ids[0])
    found = client.get(f"/api/v1/imports/{ids[0]}/").json()
    assert (found["state"], found["report"]["tasks"]) == ("succeeded", 1)


def from_hub(client: APIClient) -> Any:
    path = "/api/v1/projects/support/imports/hub"
    return client.post(path, {"dataset": "owner/name"}, format="json")


def phases(client: APIClient) -> dict[str, str]:
    rows = client.get("/api/v1/projects/support/imports/").json()["results"]
    return {row["id"]: row["phase"] for row in rows}


def test_claimed_or_cancelled_import_no_longer_waits_for_the_broker(
    valkey: Valkey,
    broker: Celery,
    project: Project,
    mona: User,
    client_of: Callable[[User | None], APIClient],
) -> None:
    client = client_of(mona)
    valkey.stop()
    claimed, cancelled = (UUID(upload(client, ROW).json()["id"]) for _ in range(2))
    assert transitions.claim_import(import_id=claimed) == 1
    assert transitions.cancel_import(id=cancelled).phase == ""
    assert set(phases(client).values()) == {""}


def test_next_sweep_wakes_a_worker_for_a_run_that_was_launched_without_a_broker(
    valkey: Valkey, broker: Celery, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey.stop()
    recipe = {"demonstrations": "demo_world"}
    run = launch_run(project=project, kind="sft", recipe=recipe, inputs={}, user=None)
    assert (run.state, run.phase) == ("queued", NOT_WOKEN)
    start(valkey)
    end_pause(monkeypatch)
    sweep_orphaned_runs()
    assert waiting(broker, "training") == 1
    assert TrainingRun.objects.get().phase == ""


def test_sweep_does_not_wake_a_worker_again_for_the_same_import(
    broker: Celery, project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    upload(client_of(mona), ROW)
    transitions.sweep_imports()
    assert waiting(broker, "imports") == 1
    woken = Import.objects.get().woken_at
    assert woken is not None
    assert woken <= timezone.now()
