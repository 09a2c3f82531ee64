"""The number and size of a request's headers, the size of its request line, and the time until the request
line and the headers have arrived are limited. The limits apply before a view or the database is involved."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvicorn

from config.asgi import OneThreadPerRequest
from config.requests import heads
from config.requests.heads import HEAD_BYTES, HEADERS
from tests.config.requests.test_proxies import server_commands

Server = tuple[str, int]
SECONDS = 0.4
PROTOCOL = "config.requests.heads:LimitedHeads"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A uvicorn server in a thread, with short time limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "HEAD_SECONDS", SECONDS)
        patch.setattr(heads, "LINGER_SECONDS", SECONDS)
        application = OneThreadPerRequest()
        listener = socket.create_server(("127.0.0.1", 0))
        web = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="critical", http=PROTOCOL))
        thread = threading.Thread(target=web.run, args=([listener],))
        thread.start()
        yield listener.getsockname()
        web.should_exit = True
        thread.join()
        application._threads.shutdown()


def head(*headers: str, target: str = "/static/none.js") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def send(connection: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # the server has closed the connection
        connection.sendall(data)


def answer_to(server: Server, data: bytes) -> tuple[int, str]:
    """Sends these bytes. Returns the status and the detail of the response."""
    with socket.create_connection(server, timeout=10) as connection:
        sending = threading.Thread(target=send, args=(connection, data))
        sending.start()
        answer = connection.makefile("rb").read()
        sending.join()
    return parsed(answer)


def parsed(answer: bytes) -> tuple[int, str]:
    top, _, body = answer.partition(b"\r\n\r\n")
    problem = json.loads(body)
    status = int(top.split()[1])
    assert b"application/problem+json" in top
    assert problem["status"] == status
    return status, problem["detail"]


def received(connection: socket.socket) -> bytes:
    """Receives one response, whose body can arrive later than its headers."""
    answer = b""
    while True:
        chunk = connection.recv(100_000)
        assert chunk, answer
        answer += chunk
        top, found, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", top)
        if found and length and len(body) >= int(length[1]):
            return answer


def numbered(count: int) -> list[str]:
    return [f"X-{number}: 1" for number in range(count)]


def test_number_of_headers_is_limited(server: Server) -> None:
    close = "Connection: close"
    assert answer_to(server, head(close, *numbered(HEADERS - 2)))[0] == 404
    status, detail = answer_to(server, head(close, *numbered(HEADERS - 1)))
    assert (status, detail) == (431, "The request has 101 headers; at most 100 are allowed.")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head(f"Cookie: {'x' * HEAD_BYTES}"), id="one header"),
        pytest.param(head(*[f"X-{n}: {'x' * 1000}" for n in range(40)]), id="many headers"),
        pytest.param(head(target=f"/?q={'x' * HEAD_BYTES}"), id="address"),
        pytest.param(head(f"Cookie: {'x' * 200_000}"), id="more than h11 buffers, sent in one piece"),
        pytest.param(head(f"Cookie: {'x' * 20_000_000}"), id="more than a socket buffers"),
        pytest.param(head("X: " + "x" * HEAD_BYTES)[:-4], id="unfinished"),
        pytest.param(b"x" * 1_000_000, id="no request line"),
    ],
)
def test_size_of_the_head_is_limited(server: Server, data: bytes) -> None:
    status, detail = answer_to(server, data)
    assert (status, detail) == (
        431,
        "The request line and the headers together can have at most 32,768 bytes.",
    )


def test_head_of_the_maximum_size_is_accepted(server: Server) -> None:
    rest = HEAD_BYTES - len(head("Connection: close", "Cookie: "))
    assert answer_to(server, head("Connection: close", f"Cookie: {'x' * rest}"))[0] == 404


def dribble(connection: socket.socket, data: bytes) -> bytes:
    """Sends one byte every 50 ms, and returns what the server sends before it closes the connection."""
    began = time.monotonic()
    connection.settimeout(0.05)
    received = b""
    for byte in data:
        send(connection, bytes([byte]))
        with suppress(TimeoutError):
            if not (chunk := connection.recv(10_000)):
                assert time.monotonic() - began < 10 * SECONDS
                return received
            received += chunk
    pytest.fail("The server has accepted a slow head.")


def test_client_with_a_slow_head_is_disconnected(server: Server) -> None:
    with socket.create_connection(server, timeout=10) as connection:
        status, detail = parsed(dribble(connection, head(*numbered(20))))
    assert (status, "did not arrive within 0.4 seconds" in detail) == (408, True)


def test_client_with_a_slow_head_in_a_later_request_is_disconnected(server: Server) -> None:
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall(head())
        assert parsed(received(connection))[0] == 404
        time.sleep(SECONDS + 0.1)  # an idle connection is kept
        assert parsed(dribble(connection, head(*numbered(20))))[0] == 408


def test_silent_connection_is_closed(server: Server) -> None:
    with socket.create_connection(server, timeout=10 * SECONDS) as connection:
        assert connection.recv(1) == b""


def test_time_limit_of_the_head_does_not_apply_to_the_body(server: Server) -> None:
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall(head("Content-Length: 2", "Connection: close"))
        for byte in b"{}":
            time.sleep(SECONDS)
            connection.sendall(bytes([byte]))
        assert parsed(connection.makefile("rb").read())[0] == 404


def test_malformed_head_is_refused_with_problem_details(server: Server) -> None:
    assert answer_to(server, b"hello\r\n\r\n") == (400, "Invalid HTTP request received.")


def test_malformed_body_is_refused_with_problem_details(server: Server) -> None:
    data = head("Transfer-Encoding: chunked") + b"not a length\r\n"
    assert answer_to(server, data) == (400, "Invalid HTTP request received.")


@pytest.mark.parametrize("value", ["x", "gzip, chunked", "chunked\r\nTransfer-Encoding: chunked"])
def test_unknown_transfer_encoding_is_not_a_server_error(server: Server, value: str) -> None:
    found = answer_to(server, head(f"Transfer-Encoding: {value}"))
    assert found == (400, "Invalid HTTP request received.")


def test_every_web_server_limits_request_heads() -> None:
    for command in server_commands():
        assert f"--http={PROTOCOL}" in command or command[command.index("--http") + 1] == PROTOCOL
