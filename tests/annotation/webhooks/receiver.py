"""A real HTTP receiver of webhooks on a loopback port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

from standardwebhooks.webhooks import Webhook

LOOPBACK = [ip_network("127.0.0.0/8")]


class Receiver(ThreadingHTTPServer):
    """Responds with each of `answers` in turn, and then repeats the last answer. An integer in `answers` is
    an HTTP status. A float is a number of seconds, after which the connection is closed without a
    response."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int | float] = [204]
        self.location = ""
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def verified(self, secret: str) -> list[Any]:
        """The received deliveries, each verified with the webhook library."""
        return [Webhook(secret).verify(body, headers) for headers, body in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, float):
            self.server.released.wait(answer)
            return
        self.send_response(answer)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
