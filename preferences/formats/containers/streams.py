"""Forward-only streams that are read once, with size limits enforced during reading."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from preferences.formats.containers import limits
from preferences.formats.containers.limits import ExpansionError, unpacks_too_far


def bounded_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield lines with their line endings. A line longer than MAX_ROW_BYTES is skipped, and None is yielded
    for it."""
    while line := stream.readline(limits.MAX_ROW_BYTES + 1):
        if len(line) <= limits.MAX_ROW_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limits.HEAD_BYTES)
        yield None


class AsRaw(io.RawIOBase):
    """Adapts any readable binary stream to the raw interface that BufferedReader needs, because an upload has
    no `readinto`.

    With `packed_bytes`, the stream contains unpacked data, and reading fails once that data far exceeds the
    packed size.
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
