"""Reports and exports run in separate processes. The number of these processes is limited, each process ends
when its client disconnects, and annotators never wait for a process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.database.sql import Lock, acquire
from annotation.datasets.exports import export_snapshot
from annotation.models import DatasetSnapshot, Project, RankingTask, User
from config.asgi import THREADS
from config.heavy import forwarding
from config.heavy.forwarding import AT_ONCE, MAX_OF_USER, HeavyRequests
from config.heavy.routes import Heavy, HeavyRoutes
from embedded.web import LOOPBACK
from tests.annotation.answering import rank_next
from tests.conftest import name_test_database
from tests.embedded.running import eventually
from tests.web import WebServer, web_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_database")]

PROJECT = "/api/v1/projects/support"
QUALITY = f"{PROJECT}/quality/"
SNAPSHOTS = f"{PROJECT}/snapshots/"
CLAIM = f"{PROJECT}/assignments/next"
REPORTS = AT_ONCE[Heavy.REPORT]


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server for the tests that wait for all their responses. Starting this server takes 2 s of processor
    time."""
    with pytest.MonkeyPatch.context() as environment:
        name_test_database(environment)
        with web_server(tmp_path_factory.mktemp("shared") / "web.log") as found:
            yield found


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[WebServer]:
    """A server for one test. When the server stops, the requests that the test left unfinished also end,
    before the test's rows are deleted."""
    with web_server(tmp_path / "web.log") as found:
        yield found


@pytest.fixture
def ranked(project: Project, tasks: list[RankingTask], alice: User) -> Project:
    for _ in range(3):
        rank_next(project, alice, [0], [1], [2])
    return project


def waiting_for_a_lock() -> int:
    with connection.cursor() as cursor:
        # Without this statement, Postgres would return the result of the transaction's first query again.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (number,) = cursor.fetchone()
    return int(number)


def freeze(server: WebServer, user: User, number: int, *headers: str) -> socket.socket:
    """Requests a snapshot without reading the response. Without `headers`, the request carries the
    user's token."""
    line = socket.create_connection((LOOPBACK, server.port))
    body = json.dumps({"name": f"snapshot-{number}"})
    head = [
        f"POST {SNAPSHOTS} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(body)}",
        "Content-Type: application/json",
        *(headers or [f"Authorization: {server.credentials(user)}"]),
    ]
    line.sendall("\r\n".join([*head, "", body]).encode())
    return line


def test_response_is_the_same_as_in_the_web_process(
    server: WebServer, ranked: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    client = client_of(mona)
    search = f"{PROJECT}/tasks/?says=order+1"
    for path in (QUALITY, f"{PROJECT}/leaderboard/?by=round", f"{PROJECT}/progress/", search):
        found = server.ask("GET", path, user=mona)
        assert (found.status, found.json()) == (HTTPStatus.OK, client.get(path).json())
    made = server.ask("POST", SNAPSHOTS, user=mona, body={"name": "first"})
    assert made.status == HTTPStatus.CREATED, made.body
    export = f"/api/v1/snapshots/{made.json()['id']}/export?format=ranking"
    snapshot = DatasetSnapshot.objects.get(name="first")
    streamed = b"".join(export_snapshot(snapshot=snapshot, format="ranking", options={}))
    assert server.ask("GET", export, user=mona).body == streamed
    headers = server.ask("HEAD", export, user=mona).headers
    assert int(headers["content-length"]) == len(streamed)


def test_refusals_are_the_same_as_in_the_web_process(server: WebServer, ranked: Project, alice: User) -> None:
    assert server.ask("GET", QUALITY).status == HTTPStatus.UNAUTHORIZED
    assert server.ask("GET", QUALITY, user=alice).status == HTTPStatus.FORBIDDEN
    assert server.ask("GET", QUALITY, Authorization="Bearer unknown").status == HTTPStatus.UNAUTHORIZED
    assert server.ask("DELETE", QUALITY, user=alice).status == HTTPStatus.METHOD_NOT_ALLOWED


def test_waiting_reports_block_neither_annotators_nor_other_managers(
    own_server: WebServer, ranked: Project, alice: User, mona: User, ada: User
) -> None:
    """One manager's requests for snapshots wait for a lock. Another manager's report and the annotators'
    claims still get a response, and the waiting processes end when the first manager disconnects. The limit
    per user applies even if each request has a different token or cookie header."""
    for user in (alice, mona, ada):
        # Tokens created in the transaction below would be invisible to the server.
        own_server.credentials(user)
    page = APIClient()
    page.force_login(mona)
    session = page.cookies["sessionid"].value
    credentials = [[f"Authorization: Bearer {create_token(user=mona, name='t')[1]}"] for _ in range(THREADS)]
    credentials += [
        [f"Cookie: sessionid={session}; csrftoken={'a' * 32}; x={number}", f"X-CSRFToken: {'a' * 32}"]
        for number in range(THREADS)
    ]
    with ExitStack() as lines, transaction.atomic():
        acquire(Lock.SNAPSHOTS.of(ranked.pk))
        for number, headers in enumerate(credentials):
            lines.enter_context(freeze(own_server, mona, number, *headers))
        eventually(lambda: waiting_for_a_lock() == 1, what="the manager's first snapshot waits")
        assert own_server.ask("POST", CLAIM, user=alice, body={}).status == HTTPStatus.OK
        assert own_server.ask("GET", QUALITY, user=ada).status == HTTPStatus.OK
        assert waiting_for_a_lock() == 1
        lines.close()
        eventually(lambda: waiting_for_a_lock() == 0, what="the query of the killed process is cancelled")
    assert not DatasetSnapshot.objects.exists()


def test_waiting_request_gets_a_report_that_was_computed_in_the_meantime(
    server: WebServer,
    ranked: Project,
    alice: User,
    ben: User,
    mona: User,
    client_of: Callable[[User | None], APIClient],
) -> None:
    admins = [User.objects.create(username=f"admin-{n}", is_superuser=True) for n in range(REPORTS)]
    for user in (alice, mona, *admins):
        server.credentials(user)
    with ThreadPoolExecutor(REPORTS + 1) as threads, ExitStack() as held:
        held.enter_context(transaction.atomic())
        acquire(Lock.SNAPSHOTS.of(ranked.pk))
        for admin in admins:
            threads.submit(server.ask, "POST", SNAPSHOTS, user=admin, body={"name": admin.username})
        eventually(lambda: waiting_for_a_lock() == REPORTS, what="every place is taken")
        waiting = threads.submit(server.ask, "GET", QUALITY, user=mona)
        time.sleep(0.5)  # enough for the request to arrive; the test can't observe the arrival
        computed = client_of(mona).get(QUALITY).json()
        rank_next(ranked, ben, [0], [1], [2])
        held.close()  # commits the ranking, so that the blocked requests can finish
        assert waiting.result().json() == computed
    assert server.ask("GET", QUALITY, user=mona).json() != computed


def test_number_of_reports_is_limited(server: WebServer, ranked: Project, alice: User) -> None:
    managers = [User.objects.create(username=f"manager-{n}", is_superuser=True) for n in range(REPORTS + 2)]
    for user in (alice, *managers):
        server.credentials(user)
    with ThreadPoolExecutor(len(managers)) as threads, ExitStack() as held:
        held.enter_context(transaction.atomic())
        acquire(Lock.SNAPSHOTS.of(ranked.pk))
        asked = [
            threads.submit(server.ask, "POST", SNAPSHOTS, user=manager, body={"name": manager.username})
            for manager in managers
        ]
        eventually(lambda: waiting_for_a_lock() == REPORTS, what="every place is taken")
        assert server.ask("POST", CLAIM, user=alice, body={}).status == HTTPStatus.OK
        assert waiting_for_a_lock() == REPORTS
        held.close()
        assert {answer.result().status for answer in asked} == {HTTPStatus.CREATED}
    assert DatasetSnapshot.objects.count() == len(managers)


def test_user_with_too_many_requests_is_told_to_wait(
    own_server: WebServer, ranked: Project, mona: User, ada: User
) -> None:
    for user in (mona, ada):
        own_server.credentials(user)
    with ExitStack() as lines, transaction.atomic():
        acquire(Lock.SNAPSHOTS.of(ranked.pk))
        asked = [lines.enter_context(freeze(own_server, mona, number)) for number in range(MAX_OF_USER + 1)]
        (refused, *_), _, _ = select.select(asked, [], [], 30)
        response = HTTPResponse(refused)
        response.begin()
        assert (response.status, response.headers["retry-after"]) == (503, "10")
        assert b"Try again" in response.read()
        assert own_server.ask("GET", QUALITY, user=ada).status == HTTPStatus.OK


def test_killed_or_hung_fork_server_is_replaced(
    ranked: Project, mona: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "SECONDS_TO_FORK", 0.5)
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"},
        **{"method": "GET", "root_path": "", "path": QUALITY, "raw_path": QUALITY.encode()},
        **{"query_string": b"", "server": (LOOPBACK, 80), "client": (LOOPBACK, 1)},
        "headers": [
            (b"host", b"localhost"),
            (b"authorization", f"Bearer {create_token(user=mona, name='tests')[1]}".encode()),
        ],
    }

    async def answers() -> list[int]:
        heavy, sent = HeavyRequests(), list[int]()

        async def send(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                sent.append(message["status"])

        async def receive() -> dict[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        try:
            for harm in (None, signal.SIGKILL, signal.SIGSTOP):
                if harm is not None:
                    assert heavy._server is not None
                    os.kill(heavy._server.pid, harm)
                await heavy.answer(Heavy.REPORT, mona.pk, scope, io.BytesIO(), receive, send)
        finally:
            heavy._forget_server()
        return sent

    assert asyncio.run(answers()) == [HTTPStatus.OK] * 3


def test_heavy_routes_are_recognised() -> None:
    routes = HeavyRoutes()
    assert routes.kind_of("GET", QUALITY) is Heavy.REPORT
    assert routes.kind_of("HEAD", QUALITY) is Heavy.REPORT
    assert routes.kind_of("GET", SNAPSHOTS) is None
    assert routes.kind_of("POST", SNAPSHOTS) is Heavy.REPORT
    id = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert routes.kind_of("GET", f"/api/v1/snapshots/{id}/export") is Heavy.DOWNLOAD
    for part in ("metrics", "samples"):  # requested by the page for comparing runs
        assert routes.kind_of("GET", f"/api/v1/runs/{id}/{part}") is Heavy.REPORT
    assert routes.kind_of("GET", f"/api/v1/runs/{id}/") is None
    assert routes.kind_of("POST", CLAIM) is None
    assert routes.kind_of("GET", f"{QUALITY}x") is None
    assert routes.kind_of("GET", "/") is None


@pytest.mark.parametrize("path", [f"{PROJECT}/tasks/", f"{PROJECT}/rankings/"])
def test_lists_are_heavy_only_with_slow_filters(path: str) -> None:
    routes = HeavyRoutes()
    for query in (b"says=order", b"state=open&s%61ys=%C3%A9", b"agreement_below=0.5"):
        assert routes.kind_of("GET", path, query) is Heavy.REPORT
    for query in (b"", b"says=", b"state=open&page_size=200", b"x=says", b"&=&%", b"\xff"):
        assert routes.kind_of("GET", path, query) is None
