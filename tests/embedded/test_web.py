"""The web server's health check and its listening port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from embedded import web
from embedded.processes import ServerError

Serve = Callable[[int], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """serve(status): the port of a server that answers every request with `status`."""
    servers: list[HTTPServer] = []

    def start(status: int) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *values: object) -> None:
                pass

        server = HTTPServer((web.LOOPBACK, 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_server_is_healthy_if_it_responds_with_ok(serve: Serve) -> None:
    assert web.healthy(serve(200))
    assert not web.healthy(serve(503))


def test_server_on_a_closed_port_is_not_healthy() -> None:
    with web.listen(0) as listener:
        port = web.port_of(listener)
    assert not web.healthy(port)


def test_server_that_never_responds_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_HEALTH_TIMEOUT_SECONDS", 0.1)
    with web.listen(0) as listener:
        assert not web.healthy(web.port_of(listener))


def test_error_for_a_port_in_use_names_the_port() -> None:
    with web.listen(0) as listener, pytest.raises(ServerError, match=str(web.port_of(listener))):
        web.listen(web.port_of(listener))
