"""Live events: one LISTEN connection and one reader connection per process, for any number of browsers.

The event table is the source of truth. A notification only means "read again", so a lost or duplicate
notification is harmless. In the obvious design, each stream would query on its own connection. That design
would occupy one connection per viewer. With a pool of 8 connections, the ninth browser would never be served.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from asgiref.sync import sync_to_async
from django.db import connection

from annotation.database import outages
from training.models import TrainingRun
from training.runs.progress.events import CHANNEL

PING_SECONDS = 15.0  # short enough for proxies, which often close a silent connection after 60 s
RETRY_MILLISECONDS = 2000
PING = ": ping\n\n"
RECONNECT_SECONDS = 1.0
# Errors during an outage, from the reader's connection and from Django's connection. Django's connection is
# used to load the run for serialisation.
OUTAGE_ERRORS = (psycopg.OperationalError, psycopg.InterfaceError, *outages.OUTAGE_ERRORS)
BATCH_EVENTS = 500
MAX_STREAMS = 500  # maximum number of streams per process; a refused browser polls `metrics?after=` instead

SELECT_STATE = "SELECT state FROM training_trainingrun WHERE id = %s"
SELECT_EVENTS = """
SELECT seq, attempt, type, step, data FROM training_runevent WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT
%s
"""
Row = tuple[int, int, str, int, dict[str, Any]]
RunDocument = Callable[[UUID], dict[str, Any]]


class Hub:
    """The event streams that one asyncio event loop serves. The hub's two connections are open only while
    there are streams."""

    def __init__(self) -> None:
        self._watchers: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._listener: asyncio.Task[None] | None = None
        self._reader: psycopg.AsyncConnection[Row] | None = None
        self._reading = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None

    @property
    def open_streams(self) -> int:
        return sum(map(len, self._watchers.values()))

    async def stream(self, run_id: UUID, *, after: int, document: RunDocument) -> AsyncIterator[str]:
        """Yield the run's server-sent events with seq > `after`, until the run is over and everything has
        been sent.

        `document` returns the data of a state event: the run as the API represents it. `document` is called
        in a separate thread.
        """
        async with self._watching(run_id) as woken:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            while True:
                woken.clear()
                # A browser that disconnects during the read must not break the shared connection, so the read
                # is a task that is never cancelled. The callback retrieves the task's error even if the
                # stream has ended, because asyncio would otherwise log the error.
                reading = asyncio.create_task(self._read_all(run_id, after, document))
                reading.add_done_callback(asyncio.Task.exception)
                # Pings are also sent while the database hangs, so that no proxy closes the stream.
                while not (await asyncio.wait([reading], timeout=PING_SECONDS))[0]:
                    yield PING
                try:
                    state, rows, run = reading.result()
                except OUTAGE_ERRORS:
                    # The browser would not reconnect to a server that answers with an error. The stream
                    # therefore stays open until the database is back.
                    yield PING
                    await asyncio.sleep(RECONNECT_SECONDS)
                    continue
                for seq, attempt, type, step, data in rows:
                    after = seq
                    told = run if type == "state" else data
                    yield _frame(type, seq, {**told, "seq": seq, "attempt": attempt, "step": step})
                if len(rows) == BATCH_EVENTS:
                    continue
                if state in TrainingRun.FINAL_STATES or state is None:
                    return
                try:
                    await asyncio.wait_for(woken.wait(), PING_SECONDS)
                except TimeoutError:
                    yield PING

    @asynccontextmanager
    async def _watching(self, run_id: UUID) -> AsyncIterator[asyncio.Event]:
        woken = asyncio.Event()
        self._watchers[run_id].add(woken)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            yield woken
        finally:
            self._watchers[run_id].discard(woken)
            if not self._watchers[run_id]:
                del self._watchers[run_id]
            if not self._watchers:
                # The connections are closed in a separate, shielded task. A stream that ends because its own
                # task is cancelled can't wait for them to close.
                self._closing = asyncio.create_task(self._close())
                await asyncio.shield(self._closing)

    async def _read_all(
        self, run_id: UUID, after: int, document: RunDocument
    ) -> tuple[str | None, list[Row], dict[str, Any]]:
        """Return the run's state, its next events and, if its state has changed, the run as the API
        represents it."""
        state, rows = await self._read(run_id, after)
        changed = any(type == "state" for _, _, type, _, _ in rows)
        return state, rows, await _in_thread(document, run_id) if changed else {}

    async def _read(self, run_id: UUID, after: int) -> tuple[str | None, list[Row]]:
        """Return the run's state and its next events. The state is read before the events, so that no event
        is missing if the state is final."""
        async with self._reading:
            try:
                reader = self._reader
                if reader is None or reader.closed:
                    reader = self._reader = await _connect()
                if not self._watchers:  # without streams, nothing would close this connection
                    raise psycopg.OperationalError("no stream is open")
                found = await (await reader.execute(SELECT_STATE, [run_id])).fetchone()
                rows = await (await reader.execute(SELECT_EVENTS, [run_id, after, BATCH_EVENTS])).fetchall()
            except psycopg.Error:
                broken, self._reader = self._reader, None
                if broken is not None:
                    await broken.close()
                raise
        return (str(found[0]) if found else None), rows

    async def _listen(self) -> None:
        while True:
            try:
                async with await _connect() as listening:
                    await listening.execute(f"LISTEN {CHANNEL}")
                    self._wake(*self._watchers)  # read events that were announced before LISTEN took effect
                    async for note in listening.notifies():
                        self._wake(UUID(note.payload))
            except psycopg.Error:
                await asyncio.sleep(RECONNECT_SECONDS)

    def _wake(self, *run_ids: UUID) -> None:
        for run_id in run_ids:
            for woken in self._watchers.get(run_id, ()):
                woken.set()

    async def _close(self) -> None:
        """Close both connections, unless a new stream needs them.

        If a stream ends during a read, the read continues. The lock delays closing until that read has ended.
        Otherwise, the read would use a closed connection, or open a new connection that is never closed.
        """
        async with self._reading:
            if self._watchers:
                return
            listener, self._listener = self._listener, None
            reader, self._reader = self._reader, None
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
            if reader is not None:
                await reader.close()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def open_streams() -> int:
    """Return the number of open streams in this process."""
    return sum(hub.open_streams for hub in _hubs.values())


async def stream_events(run_id: UUID, *, after: int, document: RunDocument) -> AsyncIterator[str]:
    """Call :meth:`Hub.stream` on this event loop's hub."""
    hub = _hubs.setdefault(asyncio.get_running_loop(), Hub())
    async for frame in hub.stream(run_id, after=after, document=document):
        yield frame


async def _in_thread(document: RunDocument, run_id: UUID) -> dict[str, Any]:
    def read() -> dict[str, Any]:
        try:
            return document(run_id)
        finally:
            connection.close()  # return the connection to the pool: the stream stays open for hours

    return await sync_to_async(read)()


async def _connect() -> psycopg.AsyncConnection[Any]:
    """Open a connection outside Django's pool, so that waiting streams do not take connections from
    requests."""
    params = connection.get_connection_params()
    for of_django in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(of_django, None)
    return await psycopg.AsyncConnection.connect(
        **params, autocommit=True, application_name="rankloop-events", row_factory=psycopg.rows.tuple_row
    )


def _frame(type: str, seq: int, data: dict[str, Any]) -> str:
    return f"event: {type}\nid: {seq}\ndata: {json.dumps(data, separators=(',', ':'), default=str)}\n\n"
