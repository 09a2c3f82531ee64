"""Every response with a 5xx status contains the request ID and is logged with the error's traceback, wherever
the error occurred."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.core.signals import request_started
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from config.asgi import OneThreadPerRequest
from config.logs.asgi import LoggedRequests
from config.problems import Problem
from tests.config.logs.conftest import Lines

REQUEST_ID = "client-chosen-17"


def plain(request: HttpRequest) -> HttpResponse:
    raise ValueError("fault outside the API")


class Api(APIView):
    permission_classes = ()
    authentication_classes = ()

    def get(self, request: Request) -> HttpResponse:
        raise ValueError("fault inside the API")


class Busy(Api):
    def get(self, request: Request) -> HttpResponse:
        raise Problem("Too busy.", status=HTTPStatus.SERVICE_UNAVAILABLE)


class Broken(Api):
    def get(self, request: Request) -> HttpResponse:
        raise APIException("fault that DRF renders")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("fault in the stream")

    return StreamingHttpResponse(parts())


def fine(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"fine")


def faulty_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def answer(request: HttpRequest) -> Any:
        if "faulty" in request.GET:
            raise ValueError("fault in the middleware")
        return get_response(request)

    return answer


urlpatterns = [
    path("plain", plain),
    path("api", Api.as_view()),
    path("busy", Busy.as_view()),
    path("broken", Broken.as_view()),
    path("stream", stream),
    path("fine", fine),
    path("healthz", fine),
]
handler500 = "config.views.server_error"
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def ask() -> Iterator[Callable[..., Answer]]:
    """ask(address) returns the status, headers and body that uvicorn would send."""
    middleware = ["config.logs.middleware.RequestContext", f"{__name__}.faulty_middleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=middleware, ALLOWED_HOSTS=["*"]):
        application = LoggedRequests(OneThreadPerRequest())

        def one(address: str, request_id: str = REQUEST_ID, length: int = 0) -> Answer:
            name, _, query = address.partition("?")
            scope: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET"}
            scope |= {"path": f"/{name}", "query_string": query.encode()}
            scope["headers"] = [(b"host", b"localhost"), (b"x-request-id", request_id.encode())]
            scope["headers"] += [(b"content-length", str(length).encode())]
            sent: list[Any] = []
            over = asyncio.Event()
            asked = [{"type": "http.request", "body": b"", "more_body": False}]

            async def receive() -> Any:
                if asked:
                    return asked.pop()
                await over.wait()

            async def send(message: Any) -> None:
                sent.append(message)

            try:
                asyncio.run(application(scope, receive, send))
            except Exception:
                assert sent, "without a response, uvicorn would send its own text"
                raise
            headers = {key.decode().lower(): value.decode() for key, value in sent[0]["headers"]}
            return sent[0]["status"], headers, b"".join(part.get("body", b"") for part in sent[1:])

        yield one


@pytest.mark.parametrize(
    ("address", "fault", "status"),
    [
        ("plain", "fault outside the API", 500),
        ("api", "fault inside the API", 500),
        ("broken", "fault that DRF renders", 500),
        ("busy", "Too busy.", 503),
        ("fine?faulty", "fault in the middleware", 500),
    ],
)
def test_error_is_logged_once_with_traceback_and_request_id(
    ask: Callable[..., Answer], lines: Lines, address: str, fault: str, status: int
) -> None:
    answered, headers, body = ask(address)
    assert answered == status
    assert headers["x-request-id"] == REQUEST_ID
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["request_id"] == REQUEST_ID
    (line,) = (line for line in lines.of(request_id=REQUEST_ID) if "exception" in line)
    assert line["exception"].endswith(fault)
    assert f'File "{__file__}"' in line["exception"]
    assert (line["method"], line["path"]) == ("GET", f"/{address.partition('?')[0]}")
    (access,) = lines.of(logger="rankloop.access")
    assert access["status"] == status
    assert access["level"] == "WARNING"


def test_error_outside_django_is_logged_and_the_client_gets_a_response(
    ask: Callable[..., Answer], lines: Lines
) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("fault in a signal")

    request_started.connect(fail)
    try:
        status, _, body = ask("fine")
    finally:
        request_started.disconnect(fail)
    assert (status, json.loads(body)["request_id"]) == (500, REQUEST_ID)
    (line,) = (line for line in lines.of(level="ERROR") if "exception" in line)
    assert line["exception"].endswith("ValueError: fault in a signal")
    assert line["request_id"] == REQUEST_ID


def test_response_to_a_request_that_never_reaches_django_has_the_request_id(
    ask: Callable[..., Answer], lines: Lines
) -> None:
    status, headers, body = ask("fine", length=2**60)
    assert (status, json.loads(body)["request_id"]) == (413, REQUEST_ID)
    assert headers["x-request-id"] == REQUEST_ID
    (access,) = lines.of(logger="rankloop.access")
    assert (access["status"], access["request_id"]) == (413, REQUEST_ID)


def test_error_in_a_stream_is_passed_to_the_server(ask: Callable[..., Answer], lines: Lines) -> None:
    with pytest.raises(ValueError, match="fault in the stream"):
        ask("stream")
    (access,) = lines.of(logger="rankloop.access")
    assert (access["status"], access["request_id"]) == (200, REQUEST_ID)


def test_access_log_has_one_line_per_request_without_the_query_string(
    ask: Callable[..., Answer], lines: Lines
) -> None:
    assert ask("fine?token=secret")[0] == 200
    (line,) = lines.of(logger="rankloop.access")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/fine", 200)
    assert line["level"] == "INFO"
    assert line["duration_ms"] >= 0
    assert line["time"].endswith("+00:00")
    assert "secret" not in lines.text


def test_health_checks_are_not_logged(ask: Callable[..., Answer], lines: Lines) -> None:
    assert ask("healthz")[0] == 200
    assert lines.written == []


@pytest.mark.parametrize(
    "given", ["short", "a" * 65, "line\nbreak-and-more", 'quote"12345678', "-leading-dash", ""]
)
def test_malformed_request_id_is_replaced(ask: Callable[..., Answer], given: str) -> None:
    made = ask("fine", given)[1]["x-request-id"]
    assert made != given
    assert len(made) == 32
    assert ask("fine", given)[1]["x-request-id"] != made
