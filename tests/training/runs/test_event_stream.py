"""Live events are sent exactly once and in order. Streams can be resumed, and all streams share two
database connections."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from annotation.accounts.tokens import create_token
from annotation.models import User
from tests.postgres_outage import Outage
from tests.training.conftest import RunMaker, wait_until
from training.models import TrainingRun
from training.runs import transitions
from training.runs.api.serializers import run_document
from training.runs.progress import stream
from training.runs.progress.events import Event, append_events
from training.simulation.webserver import reachable_web

pytestmark = pytest.mark.usefixtures("test_database")
WATCHERS = 50

Seen = list[tuple[str, int, dict[str, Any]]]


@pytest.fixture
def run(make_run: RunMaker) -> TrainingRun:
    run = make_run()
    transitions.claim_run(run_id=run.pk, worker="w")
    return run


def say(run: TrainingRun, *steps: int) -> None:
    events = [Event("metrics", step, {"values": {"loss": float(step)}}) for step in steps]
    append_events(run_id=run.pk, attempt=1, events=events)


def succeed(run: TrainingRun) -> None:
    transitions.succeed_run(run_id=run.pk, attempt=1, result={})


def parse(frame: str) -> tuple[str, int, dict[str, Any]]:
    fields = dict(line.split(": ", 1) for line in frame.strip().split("\n"))
    return fields["event"], int(fields["id"]), json.loads(fields["data"])


async def watch(run_id: UUID, seen: Seen, *, after: int = 0) -> None:
    frames: AsyncIterator[str] = stream.stream_events(run_id, after=after, document=run_document)
    async for frame in frames:
        if frame.startswith("event:"):
            seen.append(parse(frame))


def event_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rankloop-events' "
            "AND datname = current_database()"
        )
        return int(cursor.fetchone()[0])


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run an async test body, then close the connections of the threads that did the test's database work."""

    async def whole() -> None:
        try:
            await asyncio.wait_for(scene(), 60)
        finally:
            await sync_to_async(connections.close_all)()

    asyncio.run(whole())


async def until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.02)


def test_stream_sends_earlier_events_before_live_events_and_an_end_event(run: TrainingRun) -> None:
    seen: Seen = []

    async def scene() -> None:
        await sync_to_async(say)(run, 1, 2)
        watching = asyncio.create_task(watch(run.pk, seen))
        await until(lambda: len(seen) == 3)
        await sync_to_async(say)(run, 3)
        await until(lambda: len(seen) == 4)
        await sync_to_async(succeed)(run)
        await watching

    play(scene)
    assert [(type, seq) for type, seq, _ in seen] == [
        ("state", 1), ("metrics", 2), ("metrics", 3), ("metrics", 4), ("state", 5)
    ]  # fmt: skip
    assert seen[3][2] == {"values": {"loss": 3.0}, "seq": 4, "attempt": 1, "step": 3}
    assert seen[4][2]["state"] == "succeeded"
    assert seen[4][2]["id"] == str(run.pk)


def test_stream_resumes_after_the_last_event_id(run: TrainingRun) -> None:
    say(run, 1, 2, 3)
    succeed(run)
    seen: Seen = []
    play(lambda: watch(run.pk, seen, after=3))
    assert [seq for _, seq, _ in seen] == [4, 5]


def test_stream_sends_a_long_history_completely(run: TrainingRun) -> None:
    steps = range(1, 2 * stream.BATCH_EVENTS + 10)
    say(run, *steps)
    succeed(run)
    seen: Seen = []
    play(lambda: watch(run.pk, seen))
    assert [seq for _, seq, _ in seen] == list(range(1, len(steps) + 3))


def test_streams_share_two_connections_that_close_with_the_last_stream(run: TrainingRun) -> None:
    seen: list[Seen] = [[] for _ in range(WATCHERS)]
    open_while_watching = -1

    async def scene() -> None:
        nonlocal open_while_watching
        watching = [asyncio.create_task(watch(run.pk, mine)) for mine in seen]
        await until(lambda: all(mine for mine in seen))
        for step in range(1, 11):
            await sync_to_async(say)(run, step)
        await until(lambda: all(len(mine) == 11 for mine in seen))
        open_while_watching = await sync_to_async(event_connections)()
        assert stream.open_streams() == WATCHERS
        await sync_to_async(succeed)(run)
        await asyncio.gather(*watching)

    play(scene)
    assert open_while_watching == 2
    assert all([seq for _, seq, _ in mine] == list(range(1, 13)) for mine in seen)
    assert stream.open_streams() == 0
    wait_until(
        lambda: event_connections() == 0, seconds=5
    )  # the database server closes connections after a delay


def test_no_event_is_lost_if_the_listen_connection_is_lost(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RECONNECT_SECONDS", 0.3)
    seen: Seen = []

    def cut_the_listener() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'rankloop-events' AND query LIKE 'LISTEN%%'"
            )
            assert cursor.rowcount == 1

    async def scene() -> None:
        watching = asyncio.create_task(watch(run.pk, seen))
        await until(lambda: len(seen) == 1)
        await sync_to_async(say)(run, 1)
        await until(lambda: len(seen) == 2)
        await sync_to_async(cut_the_listener)()
        await sync_to_async(say)(run, 2)  # no LISTEN connection is open now
        await until(lambda: len(seen) == 3)
        await sync_to_async(succeed)(run)
        await watching

    play(scene)
    assert [seq for _, seq, _ in seen] == [1, 2, 3, 4]


def test_stream_stays_open_during_a_database_outage(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RECONNECT_SECONDS", 0.2)
    connection.close()
    monkeypatch.delitem(connection.settings_dict["OPTIONS"], "pool")
    outage = Outage()
    seen: Seen = []

    async def scene() -> None:
        watching = asyncio.create_task(watch(run.pk, seen))
        await until(lambda: len(seen) == 1)
        await sync_to_async(outage.begin)()
        await asyncio.sleep(0.7)
        assert not watching.done()
        outage.end()
        await sync_to_async(connections.close_all)()
        await sync_to_async(say)(run, 1)
        await sync_to_async(succeed)(run)
        await watching

    try:
        play(scene)
    finally:
        outage.close()
        connection.close()
    assert [(type, seq) for type, seq, _ in seen] == [("state", 1), ("metrics", 2), ("state", 3)]


def test_disconnection_of_one_browser_does_not_affect_other_streams(run: TrainingRun) -> None:
    seen: Seen = []

    async def scene() -> None:
        staying = asyncio.create_task(watch(run.pk, seen))
        for _ in range(10):
            leaving = asyncio.create_task(watch(run.pk, []))
            await asyncio.sleep(0.005)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        await sync_to_async(say)(run, 1)
        await sync_to_async(succeed)(run)
        await staying

    play(scene)
    assert [seq for _, seq, _ in seen] == [1, 2, 3]


def test_last_stream_can_close_at_any_moment(run: TrainingRun) -> None:
    """The browser can disconnect while the hub connects, reads or listens."""
    faults: list[dict[str, Any]] = []

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        for number in range(40):
            leaving = asyncio.create_task(watch(run.pk, []))
            await asyncio.sleep(number * 0.0006)
            leaving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await leaving
        gc.collect()  # asyncio reports an unretrieved exception when its task is deleted
        await asyncio.sleep(0.1)
        assert await sync_to_async(event_connections)() == 0
        seen: Seen = []
        staying = asyncio.create_task(watch(run.pk, seen))
        await sync_to_async(succeed)(run)
        await staying
        assert [type for type, _, _ in seen] == ["state", "state"]

    play(scene)
    assert faults == []


def test_http_stream_resumes_and_responds_with_204_after_its_end(
    run: TrainingRun, ada: User, oscar: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(run, 1)
    tokens = {user.username: create_token(user=user, name="t")[1] for user in (ada, oscar)}
    path = f"/api/v1/runs/{run.pk}/events"

    def get(url: str, user: str, **headers: str) -> http.client.HTTPResponse:
        client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        headers = {"Authorization": f"Bearer {tokens[user]}", "Accept": "text/event-stream"} | headers
        client.request("GET", path, headers=headers)
        return client.getresponse()

    with reachable_web(None) as url:
        refused = get(url, "oscar")
        assert refused.status == 404
        assert json.loads(refused.read())["status"] == 404

        live = get(url, "ada", **{"Last-Event-ID": "1"})
        assert live.status == 200
        assert live.headers["Content-Type"].startswith("text/event-stream")
        assert live.headers["Cache-Control"] == "no-store"
        later = threading.Timer(0.5, lambda: (say(run, 2), succeed(run), connection.close()))
        later.start()
        frames = [frame for frame in live.read().decode().split("\n\n") if frame.startswith("event")]
        later.join()
        assert [parse(frame)[:2] for frame in frames] == [("metrics", 2), ("metrics", 3), ("state", 4)]

        assert get(url, "ada", **{"Last-Event-ID": "4"}).status == 204


def test_process_refuses_more_streams_than_its_limit_allows(
    run: TrainingRun, ada: User, client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_STREAMS", 0)
    answer = client_of(ada).get(f"/api/v1/runs/{run.pk}/events")
    assert answer.status_code == 503
    assert "Poll the metrics" in answer.json()["detail"]


def test_notification_is_sent_on_commit_and_contains_only_the_run_id(run: TrainingRun) -> None:
    settings = connection.settings_dict
    with psycopg.connect(
        host=settings["HOST"], dbname=settings["NAME"], user=settings["USER"], autocommit=True
    ) as listening:
        listening.execute("LISTEN training_run")
        say(run, 1)
        [note] = listening.notifies(timeout=5, stop_after=1)
    assert note.payload == str(run.pk)
