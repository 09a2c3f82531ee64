"""No request waits forever for a hung process, and the response explains the problem."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from annotation.database.sql import Lock, acquire
from annotation.models import Project, Ranking, RankingTask, User
from config.asgi import THREADS
from config.database.limits import LIMITS, connection_options
from config.env import BadEnvironment
from config.wake import NOT_WOKEN
from embedded.valkey import Valkey
from tests.web import WebServer, web_server
from training.models import TrainingRun

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_database")]

PROJECT = "/api/v1/projects/support"


@pytest.fixture
def hung_broker(tmp_path: Path) -> Iterator[str]:
    """The address of a Valkey server that accepts connections and never answers."""
    valkey = Valkey(tmp_path / "valkey", log=tmp_path / "valkey.log")
    valkey.launch()
    valkey.wait_ready()
    os.kill(valkey.process.pid, signal.SIGSTOP)
    yield valkey.url
    os.kill(valkey.process.pid, signal.SIGCONT)
    valkey.stop()


def test_annotation_and_reports_work_while_the_broker_hangs(
    hung_broker: str, tmp_path: Path, project: Project, tasks: list[RankingTask], alice: User, ada: User
) -> None:
    with web_server(tmp_path / "web.log", BROKER_URL=hung_broker) as server:
        for user in (alice, ada):
            server.credentials(user)
        with ThreadPoolExecutor(2 * THREADS) as threads:
            checks = [threads.submit(server.ask, "GET", "/healthz") for _ in range(2 * THREADS)]
            answer_task(server, alice)
            assert server.ask("GET", f"{PROJECT}/quality/", user=ada).status == HTTPStatus.OK
            # While another thread waits for the broker, a health check returns the last known state.
            assert HTTPStatus.SERVICE_UNAVAILABLE in {check.result().status for check in checks}
        assert server.ask("GET", "/healthz").json()["broker"] == "unreachable"
        body = {"project": "support", "kind": "sft", "recipe": {"demonstrations": "demo_world"}, "inputs": {}}
        launched = server.ask("POST", "/api/v1/runs/", user=ada, body=body)
        assert launched.status == HTTPStatus.CREATED, launched.body
        assert (launched.json()["state"], launched.json()["phase"]) == ("queued", NOT_WOKEN)
        assert TrainingRun.objects.get().woken_at is None  # the next sweep tries again
        answer_task(server, alice)
    assert Ranking.objects.count() == 2


def answer_task(server: WebServer, annotator: User) -> None:
    held = server.ask("POST", f"{PROJECT}/assignments/next", user=annotator, body={}).json()
    answer = {
        "token": held["token"],
        "tiers": [[response["id"]] for response in held["responses"]],
        "touched": True,
        "duration_ms": 1000,
    }
    path = f"/api/v1/assignments/{held['id']}/submit"
    assert server.ask("POST", path, user=annotator, body=answer).status == HTTPStatus.CREATED


@contextmanager
def blocked(block: Callable[[], None], *, limit: str) -> Iterator[None]:
    """While the context is open, another transaction holds the lock that `block` takes, and the Postgres
    setting named `limit` is 50 ms for this thread's connection."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                block()
                held.set()
                assert done.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        assert held.wait(30)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET {limit} = '50ms'")
            yield
        finally:
            done.set()
            with connection.cursor() as cursor:
                cursor.execute(f"RESET {limit}")  # the connection returns to the pool
        holder.result()


def test_wait_for_a_lock_times_out_with_an_explanation(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    client = client_of(mona)
    with blocked(lambda: acquire(Lock.SNAPSHOTS.of(project.pk)), limit="lock_timeout"):
        response: Any = client.post(f"{PROJECT}/snapshots/", {"name": "first"}, format="json")
    problem = response.json()
    assert (response.status_code, problem["type"], response["Retry-After"]) == (503, "busy", "5")
    assert "Nothing was changed; try again" in problem["detail"]


def test_slow_statement_times_out_with_an_explanation(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE annotation_ranking")

    client = client_of(mona)
    with blocked(lock, limit="statement_timeout"):
        response: Any = client.get(f"{PROJECT}/quality/")
    problem = response.json()
    assert (response.status_code, problem["type"], response["Retry-After"]) == (503, "too-slow", "5")


def test_database_timeout_outside_the_api_views_is_explained(
    mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    """The session is read before a view runs."""

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE django_session")

    client = client_of(mona)
    with blocked(lock, limit="lock_timeout"):
        response: Any = client.get("/api/v1/auth/me")
    assert (response.status_code, response.json()["type"], response["Retry-After"]) == (503, "busy", "5")


@pytest.mark.parametrize("process", LIMITS)
def test_connections_have_the_time_limits_of_their_process(process: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], options=connection_options(process)) as line:
        for name, limit in LIMITS[process].items():
            row = line.execute(f"SHOW {name}").fetchone()
            assert row == (limit,)


def test_unknown_name_of_a_process_is_refused() -> None:
    with pytest.raises(BadEnvironment, match="RANKLOOP_PROCESS='wep' is invalid; use one of web, heavy"):
        connection_options("wep")
