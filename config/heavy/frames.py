"""The format of messages between the web process and the process of a heavy request. A message consists of a
kind, a length and the content."""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import Enum

_HEAD = struct.Struct(">cI")


class Kind(Enum):
    REQUEST = b"R"
    """The ASGI scope and the time of arrival, pickled."""
    FORKED = b"F"
    """The request's process has started."""
    START = b"S"
    """The status and headers of the response, pickled."""
    BODY = b"B"
    """A part of the response's body."""
    END = b"E"
    """The end of the response."""


def frame(kind: Kind, content: bytes = b"") -> bytes:
    return _HEAD.pack(kind.value, len(content)) + content


def receive(connection: socket.socket) -> tuple[Kind, bytes]:
    """The next message. Raises EOFError if the other side has closed the connection."""
    kind, length = _HEAD.unpack(_exactly(connection, _HEAD.size))
    return Kind(kind), _exactly(connection, length)


async def read(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """Like :func:`receive`, but asynchronous. If the other side has closed the connection, raises
    asyncio.IncompleteReadError, which is an EOFError."""
    kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return Kind(kind), await reader.readexactly(length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            raise EOFError("the connection was closed")
        content += part
    return content
