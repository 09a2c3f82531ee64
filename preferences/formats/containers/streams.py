"""Forward-only streams that are read once, with size limits enforced during reading.

If a layer fails, the bytes before the failure are still delivered. Examples of failures are a truncated gzip
file, a damaged zip archive and an invalid character. The last layer, :class:`TextStream`, then ends, and the
reason is stored in `source.failure`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from gzip import BadGzipFile, GzipFile
from typing import Any, BinaryIO, cast

from preferences.formats.containers import limits
from preferences.formats.containers.limits import Expanded, ExpansionError, unpacks_too_far
from preferences.records import FormatError

LINE_ENDS = (b"\n", b"\r")


def some_of(stream: Any) -> Callable[[int], bytes]:
    """The stream's method that reads up to n bytes: `read1` if the stream has it, otherwise `read`. `read1`
    is better, because a `read` that fails in the middle of a call loses the bytes that it has already
    read."""
    return cast(Callable[[int], bytes], getattr(stream, "read1", stream.read))


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


def bounded_mac_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Works like :func:`bounded_lines`, but a carriage return without a line feed also ends a line."""
    held, skipping = b"", False
    while chunk := stream.read(limits.HEAD_BYTES):
        lines = (held + chunk).splitlines(keepends=True)
        # The next chunk can begin with the line feed that belongs to this carriage return.
        held = b"" if lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            if not skipping:
                yield line if len(line) <= limits.MAX_ROW_BYTES else None
            skipping = False
        if len(held) > limits.MAX_ROW_BYTES:
            if not skipping:
                yield None
            held, skipping = held[-1:], True
    if held and not skipping:
        yield held


class AsRaw(io.RawIOBase):
    """Adapts any readable binary stream to the raw interface that BufferedReader needs, because an upload has
    no `readinto`. Each read fills the buffer if possible, so that the first read returns all `HEAD_BYTES`.

    With `packed_bytes`, the stream contains unpacked data, and reading fails once that data far exceeds the
    packed size. The bytes are also counted in `expanded`, if it is given.
    """

    def __init__(
        self,
        stream: Any,
        *,
        packed_bytes: Callable[[], int] | None = None,
        what: str = "",
        expanded: Expanded | None = None,
    ) -> None:
        self._some = some_of(stream)
        self._packed_bytes = packed_bytes
        self._what = what
        self._total = expanded
        self._expanded = 0
        self._error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        filled = 0
        while filled < len(buffer) and self._error is None:
            try:
                data = self._some(len(buffer) - filled)
                self._count(len(data))
            except (FormatError, OSError) as error:
                self._error = error
                break
            if not data:
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
        if not filled and self._error is not None:
            raise self._error
        return filled

    def _count(self, size: int) -> None:
        self._expanded += size
        if self._total is not None:
            self._total.count(size)
        if self._packed_bytes and unpacks_too_far(self._expanded, self._packed_bytes()):
            raise ExpansionError(
                f"{self._what} unpacks to more than {limits.MAX_EXPANSION_RATIO} times its size"
            )


class TextStream(io.BufferedReader):
    """The text of a file. If reading fails, the stream ends early, and `source.failure` is the reason."""

    def __init__(
        self,
        stream: Any,
        *,
        packed_bytes: Callable[[], int] | None = None,
        what: str = "",
        expanded: Expanded | None = None,
    ) -> None:
        self.source = Source(stream, packed_bytes=packed_bytes, what=what, expanded=expanded)
        super().__init__(self.source, limits.HEAD_BYTES)


class Source(AsRaw):
    """The raw stream below a TextStream. If reading fails, it ends early, and `failure` is the reason."""

    failure = ""

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except FormatError as error:
            self.failure = str(error)
        except OSError as error:
            self.failure = f"the file can't be read beyond this point ({error})"
        return 0


class Gunzip:
    """The unpacked data of a gzip file, which can consist of several members, one after the other."""

    def __init__(self, stream: Any) -> None:
        self._file = GzipFile(fileobj=cast(Any, _Some(stream)), mode="rb")
        self._began = False

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read1(size)
        except (EOFError, BadGzipFile, zlib.error) as error:
            if self._began and str(error).startswith("Not a gzipped file"):
                raise FormatError("the gzip data is followed by bytes that are not gzip data") from error
            raise FormatError(f"the gzip data is truncated or damaged here ({error})") from error
        self._began = self._began or bool(data)
        return data


class _Some:
    def __init__(self, stream: Any) -> None:
        self.read = some_of(stream)
