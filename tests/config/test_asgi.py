"""One thread handles a request from its first signal to its last. The event loop sends a streamed response
until the response ends or its client disconnects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from config.asgi import THREADS, OneThreadPerRequest

CROWD = THREADS + 3
seen: list[tuple[str, str]] = []  # (event, name of the thread in which it occurred)
all_in = threading.Barrier(THREADS, timeout=20)


def note(what: str) -> None:
    seen.append((what, threading.current_thread().name))


def plain(request: HttpRequest) -> HttpResponse:
    note("view")
    return HttpResponse(request.body[::-1])


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("a fault in the view")


def together(request: HttpRequest) -> HttpResponse:
    """A view that waits until every thread is handling a request, and then responds."""
    all_in.wait()
    return HttpResponse(threading.current_thread().name)


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            for number in range(3 if "short" in request.GET else 1_000_000):
                yield str(number).encode()
                await asyncio.sleep(0)
        finally:
            note("stream closed")

    return StreamingHttpResponse(parts())


urlpatterns = [path(view.__name__, view) for view in (plain, broken, together, stream)]


@pytest.fixture
def application() -> Iterator[OneThreadPerRequest]:
    def started(**_: Any) -> None:
        note("started")

    def finished(**_: Any) -> None:
        note("finished")

    seen.clear()
    request_started.connect(started)
    request_finished.connect(finished)
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["*"]):
        yield OneThreadPerRequest()
    request_started.disconnect(started)
    request_finished.disconnect(finished)


async def ask(
    application: OneThreadPerRequest,
    address: str,
    *bodies: bytes,
    gone: asyncio.Event | None = None,
    enough: int | None = None,
) -> tuple[int, bytes]:
    """Sends a request with `bodies` and returns the response's status and body. The client disconnects after
    it has received `enough` messages."""
    name, _, query = address.partition("?")
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": f"/{name}",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
    }
    left = [{"type": "http.request", "body": part, "more_body": True} for part in bodies]
    left.append({"type": "http.request", "body": b"", "more_body": False})
    gone = gone or asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if enough is not None and len(sent) >= enough:
            gone.set()

    await asyncio.wait_for(application(scope, receive, send), 30)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_one_thread_handles_a_request_from_first_to_last_signal(application: OneThreadPerRequest) -> None:
    assert asyncio.run(ask(application, "plain", b"abc", b"def")) == (HTTPStatus.OK, b"fedcba")
    assert [what for what, _ in seen] == ["started", "view", "finished"]
    (thread,) = {thread for _, thread in seen}
    assert thread.startswith("request")


def test_all_threads_handle_requests_at_the_same_time(application: OneThreadPerRequest) -> None:
    async def crowd() -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(ask(application, "together") for _ in range(THREADS)))

    answers = asyncio.run(crowd())
    assert len({thread for _, thread in answers}) == THREADS


def test_further_requests_wait_for_a_thread(application: OneThreadPerRequest) -> None:
    async def crowd() -> list[tuple[int, bytes]]:
        return await asyncio.gather(*(ask(application, "plain", b"x") for _ in range(CROWD)))

    assert asyncio.run(crowd()) == [(HTTPStatus.OK, b"x")] * CROWD


def test_view_that_raises_causes_a_server_error_and_frees_its_thread(
    application: OneThreadPerRequest,
) -> None:
    for _ in range(THREADS + 1):
        status, _body = asyncio.run(ask(application, "broken"))
        assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert asyncio.run(ask(application, "plain", b"x"))[0] == HTTPStatus.OK


def test_aborted_request_does_not_reach_the_view(application: OneThreadPerRequest) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pytest.fail(f"sent to a client that has disconnected: {message}")

    asyncio.run(application({"type": "http", "method": "POST", "path": "/plain"}, receive, send))
    assert not seen


def test_stream_is_sent_to_its_end_and_then_closed(application: OneThreadPerRequest) -> None:
    assert asyncio.run(ask(application, "stream?short")) == (HTTPStatus.OK, b"012")
    assert [what for what, _ in seen] == ["started", "stream closed", "finished"]


def test_stream_is_closed_when_its_client_disconnects(application: OneThreadPerRequest) -> None:
    status, body = asyncio.run(ask(application, "stream", enough=4))
    assert (status, body[:3]) == (HTTPStatus.OK, b"012")
    assert [what for what, _ in seen] == ["started", "stream closed", "finished"]
