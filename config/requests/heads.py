"""Limits on the head of a request (the request line and the headers), checked before anything else is read.

h11 refuses only an unfinished head of more than 64 KiB, with status 400. It accepts a larger head that
arrives in one piece, and any number of headers. Uvicorn waits forever for a head that is never finished.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from config.requests.bodies import LINGER_SECONDS, Refused, refusal

# Browsers and proxies send about 30 headers. Nginx allows 32 KiB of headers, and Apache allows 100 headers.
HEAD_BYTES = 32 * 2**10
HEADERS = 100
# The head must arrive within this time, which is measured from the opening of the connection, or from the
# first byte of a later request on the same connection.
HEAD_SECONDS = 20.0

_PER_HEADER = len(": \r\n")
_TOO_LARGE = f"The request line and the headers together can have at most {HEAD_BYTES:,} bytes."


def check_head(scope: Mapping[str, Any]) -> None:
    """Raises Refused if the request has too many headers, or if its head is too large."""
    headers = scope.get("headers", ())
    if len(headers) > HEADERS:
        detail = f"The request has {len(headers):,} headers; at most {HEADERS} are allowed."
        raise Refused(refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail))
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string") or b"")
    if size + sum(len(name) + len(value) + _PER_HEADER for name, value in headers) > HEAD_BYTES:
        raise Refused(refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE))


class LimitedHeads(H11Protocol):
    """Uvicorn's protocol, for `uvicorn --http`. It responds with 431 to an unfinished head that is too large,
    and with 408 to a head that takes too long."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.conn = h11.Connection(h11.SERVER, HEAD_BYTES)
        self._timer: asyncio.TimerHandle | None = None
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return  # ignore further data until the connection is closed
        super().data_received(data)
        if self._is_refused:
            return
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._is_late)

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()  # uvicorn calls this method in the `except` block that handles h11's error
        hint = getattr(error, "error_status_hint", HTTPStatus.BAD_REQUEST)
        # h11 suggests 501 for unknown transfer encodings, but a client's mistake is not a server error.
        status = HTTPStatus(hint if hint < HTTPStatus.INTERNAL_SERVER_ERROR else HTTPStatus.BAD_REQUEST)
        is_large = status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(status, _TOO_LARGE if is_large else msg)

    def _is_late(self) -> None:
        self._timer = None
        received, _ = self.conn.trailing_data
        if not received:
            self.transport.close()  # the client has not sent a request
            return
        detail = f"The request line and the headers did not arrive within {HEAD_SECONDS:g} seconds."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self._stop_timer()
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            # A view is processing the request, and the fault is in the request's body.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # the response has already started
            return
        response = refusal(status, detail)
        answer = h11.Response(
            status_code=int(status),
            headers=[(name.lower(), value) for name, value in response.items()],
            reason=status.phrase.encode(),
        )
        content = h11.Data(data=response.content)  # type: ignore[attr-defined]
        for event in (answer, content, h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        # A client that is still sending when the connection is closed does not see the response. The
        # connection is therefore closed only after LINGER_SECONDS.
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
