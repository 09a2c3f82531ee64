"""Streams that are read once, forwards, and bounded while they are read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from preferences.formats.containers import limits
from preferences.formats.containers.limits import ExpansionError, unpacks_too_far


def bounded_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Lines with their line ends; None for a line longer than MAX_ROW_BYTES, which is skipped."""
    while line := stream.readline(limits.MAX_ROW_BYTES + 1):
        if len(line) <= limits.MAX_ROW_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limits.HEAD_BYTES)
        yield None


class AsRaw(io.RawIOBase):
    """Any readable binary stream (an upload has no `readinto`) as a raw one, for BufferedReader.

    With `packed_bytes`, the stream is unpacked data, and reading stops once it is far larger than that number
    of packed bytes.
    """

    def __init__(self, stream: Any, *, packed_bytes: Callable[[], int] | None = None, what: str = "") -> None:
        self._stream = stream
        self._packed_bytes = packed_bytes
        self._what = what
        self._expanded = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._expanded += len(data)
        if self._packed_bytes and unpacks_too_far(self._expanded, self._packed_bytes()):
            raise ExpansionError(
                f"{self._what} unpacks to more than {limits.MAX_EXPANSION_RATIO} times its size"
            )
        return len(data)
