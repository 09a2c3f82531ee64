"""Find the files of a zip archive whose end is missing.

The end of an archive contains the list of its files. In addition, a header precedes each file, and this
module reads these headers. A program that writes an archive as a stream does not know the size of a file when
it writes the header, and writes the size after the file.
"""

from __future__ import annotations

import bz2
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO, Protocol, Self, cast

HEADER = struct.Struct("<4s5H3I2H")
FILE_MAGIC = b"PK\x03\x04"
SIZE_MAGIC = b"PK\x07\x08"  # starts the record of checksum and sizes that follows a file
SIZE_LENGTHS = (16, 24)  # the lengths of this record with 4-byte and with 8-byte sizes
SIZE_FOLLOWS = 0x8
UTF8_NAME = 0x800
UNKNOWN_SIZE = 0xFFFFFFFF
READ_BYTES = 2**20
PACKED_BYTES = 4096  # deflated data of this size unpacks to at most a few megabytes


def entries_of(stream: BinaryIO) -> Iterator[zipfile.ZipInfo]:
    """The files of the archive, in the order of their data. The packed size of the last file can be larger
    than the rest of the archive."""
    position, end = 0, stream.seek(0, 2)
    while True:
        stream.seek(position)
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(FILE_MAGIC):
            return
        _, _, flags, method, _, _, checksum, packed, size, name_bytes, extra_bytes = HEADER.unpack(header)
        raw = stream.read(name_bytes)
        start = position + HEADER.size + name_bytes + extra_bytes
        entry = zipfile.ZipInfo(raw.decode("utf-8" if flags & UTF8_NAME else "cp437", "replace") or "?")
        entry.compress_type, entry.flag_bits = method, flags
        entry.header_offset, entry.file_size = start, size
        position = start + packed
        if flags & SIZE_FOLLOWS or packed == UNKNOWN_SIZE:
            found = _size_after(stream, start)
            # If no size is found, the packed size is set to one byte more than the rest of the archive.
            # Unless the data itself marks its end, reading then fails where the archive is truncated, as it
            # does if the size is known.
            packed, position, checksum = found or (max(end - start, 0) + 1, end, None)
            entry.file_size = UNKNOWN_SIZE
        entry.compress_size = packed
        if checksum is not None:
            entry.CRC = checksum
        yield entry


def opened(stream: BinaryIO, entry: zipfile.ZipInfo) -> IO[bytes]:
    """The unpacked data of a file that `entries_of` found. Reading returns all data before the missing part
    and then raises EOFError. :class:`zipfile.ZipExtFile` would drop the end of this data."""
    return cast(IO[bytes], _Unpacked(stream, entry))


def _size_after(stream: BinaryIO, start: int) -> tuple[int, int, int] | None:
    """Find the record of size and checksum that follows the file that begins at `start`. Return the file's
    packed size, the position of the record's end, and the file's checksum. Return None if no such record is
    found. Another file or the archive's directory must follow the record."""
    position, before = start, b""
    stream.seek(start)
    while chunk := stream.read(READ_BYTES):
        text = before + chunk
        at = text.find(SIZE_MAGIC)
        while at >= 0:
            for length in SIZE_LENGTHS:
                if text.startswith((FILE_MAGIC, b"PK\x01\x02"), at + length):
                    size = position + at - start
                    return size, position + at + length, int.from_bytes(text[at + 4 : at + 8], "little")
            at = text.find(SIZE_MAGIC, at + 1)
        before = text[-SIZE_LENGTHS[-1] - len(FILE_MAGIC) :]
        position += len(text) - len(before)
    return None


class _Unpacked:
    def __init__(self, stream: BinaryIO, entry: zipfile.ZipInfo) -> None:
        if entry.compress_type not in DECOMPRESSORS:
            raise NotImplementedError(f"compression method {entry.compress_type}")
        self._stream, self._position = stream, entry.header_offset
        self._left = entry.compress_size
        self._decompressor = DECOMPRESSORS[entry.compress_type]()
        self._unpacked = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._unpacked = b""

    def read(self, size: int) -> bytes:
        while not self._unpacked and not self._decompressor.eof and self._left:
            self._stream.seek(self._position)
            packed = self._stream.read(min(PACKED_BYTES, self._left))
            if not packed:
                raise EOFError
            self._position += len(packed)
            self._left -= len(packed)
            self._unpacked = self._decompressor.decompress(packed)
        data, self._unpacked = self._unpacked[:size], self._unpacked[size:]
        return data


class _Stored:
    """Stands in for a decompressor if a file is stored without compression."""

    eof = False

    def decompress(self, data: bytes) -> bytes:
        return data


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, /) -> bytes: ...


DECOMPRESSORS: dict[int, Callable[[], _Decompressor]] = {
    zipfile.ZIP_STORED: _Stored,
    zipfile.ZIP_DEFLATED: lambda: zlib.decompressobj(-zlib.MAX_WBITS),
    zipfile.ZIP_BZIP2: bz2.BZ2Decompressor,
    zipfile.ZIP_LZMA: lambda: zipfile.LZMADecompressor(),  # type: ignore[attr-defined]
}
