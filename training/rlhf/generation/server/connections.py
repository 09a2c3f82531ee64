"""Requests to one server over connections that are kept open.

Redirects are not followed, and proxies from the environment are not used, so a request reaches only the
address that the operator has allowed. Every request has a time limit, and every response has a size limit.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from training.rlhf.generation.server.failures import ServerTrouble, ServerUnusable

CONNECT_SECONDS = 10.0
PIECE_BYTES = 64 * 1024
# 64 answers of 8,192 tokens take about 50 MB with their log-probabilities.
MAX_ANSWER_BYTES = 256 * 2**20
# Statuses of a server that is overloaded or starting, or of a proxy that can't reach the server.
BUSY = {408, 425, 429, 502, 503, 504}
SHOWN_CHARACTERS = 300  # maximum length of the server's message in an error


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status and its body."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def words(self) -> str:
        """The beginning of the server's response, for an error message."""
        with suppress(ValueError):
            found: Any = json.loads(self.body)
            for key in ("error", "message", "detail"):
                found = found.get(key, found) if isinstance(found, dict) else found
            text = found if isinstance(found, str) else json.dumps(found)
            return " ".join(text.split())[:SHOWN_CHARACTERS]
        return " ".join(self.body.decode("utf-8", "replace").split())[:SHOWN_CHARACTERS]


class Connections:
    """Sends requests to the server at `address`. Any number of threads can call `request`. Each thread uses
    its own connection while it waits for the response."""

    def __init__(self, address: str, *, key: str, timeout: float) -> None:
        parts = urlsplit(address)
        self.address = address
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout = timeout
        self._headers = {"Accept": "application/json", "User-Agent": "Rankloop"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closings = 0

    def request(self, path: str, body: Any = None, *, timeout: float | None = None) -> Answer:
        """Send `body` as JSON in a POST request to `path`. Without a body, send a GET request. Raises
        ServerTrouble if the server is not responding or is busy. Raises ServerUnusable for a redirect.
        Returns all other responses."""
        ends = time.monotonic() + min(self._timeout, timeout or self._timeout)
        try:
            answer = self._answered(path, body, ends)
        except TimeoutError:
            raise ServerTrouble("it did not respond in time") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise ServerTrouble(reason) from None
        if answer.status in BUSY:
            raise ServerTrouble(
                f"it responded with status {answer.status} ({answer.words})",
                busy=True,
                seconds=answer.retry_after,
            )
        if 300 <= answer.status < 400:
            raise ServerUnusable(
                f"the server at {self.address} redirects, and redirects are not followed. Set `server` to its"
                " final address"
            )
        return answer

    def close(self) -> None:
        """Close all connections. Requests that are waiting for a response fail immediately with
        ServerTrouble."""
        with self._lock:
            self._closings += 1
            connections, self._idle = [*self._idle, *self._busy], []
        for connection in connections:
            with suppress(OSError, AttributeError):  # the connection is already closed, or it is not open yet
                connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _answered(self, path: str, body: Any, ends: float) -> Answer:
        with self._lock:
            kept, closings = self._idle.pop() if self._idle else None, self._closings
        if kept is not None:
            # The server may have closed an idle connection. In this case, a new connection is used.
            with suppress(ConnectionError, http.client.BadStatusLine):
                return self._exchanged(kept, path, body, ends, closings)
        return self._exchanged(self._connection(), path, body, ends, closings)

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=self._tls)

    def _exchanged(
        self, connection: http.client.HTTPConnection, path: str, body: Any, ends: float, closings: int
    ) -> Answer:
        with self._lock:
            self._busy.add(connection)
        complete = False
        try:
            if connection.sock is None:
                connection.connect()
            if closings != self._closings:
                raise ConnectionAbortedError("the request was cancelled")
            connection.sock.settimeout(_left(ends))
            if body is None:
                connection.request("GET", self._path + path, headers=self._headers)
            else:
                headers = self._headers | {"Content-Type": "application/json"}
                connection.request("POST", self._path + path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            data = bytearray()
            while piece := response.read1(PIECE_BYTES):
                data += piece
                if len(data) > MAX_ANSWER_BYTES:
                    raise ServerUnusable(
                        f"the server at {self.address} sent more than {MAX_ANSWER_BYTES} bytes in one"
                        " response"
                    )
                # A timeout per read would let a response that arrives byte by byte continue indefinitely.
                left = _left(ends)
                # `sock` is None after the last piece if the server closes the connection.
                if connection.sock is not None:
                    connection.sock.settimeout(left)
            if response.length:
                raise http.client.IncompleteRead(bytes(data), response.length)
            response.close()  # a connection whose response is not closed can't be used again
            complete = not response.will_close
            return Answer(response.status, bytes(data), _seconds(response.getheader("Retry-After")))
        finally:
            with self._lock:
                self._busy.discard(connection)
                if complete:
                    self._idle.append(connection)
            if not complete:
                connection.close()


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _seconds(header: str | None) -> float | None:
    """Return the seconds in a Retry-After header. A header with a date is ignored."""
    return float(header) if header is not None and header.strip().isdigit() else None
