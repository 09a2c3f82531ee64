"""Text in an encoding other than UTF-8, converted to UTF-8 while it is read."""

from __future__ import annotations

import codecs

from preferences.formats.containers.streams import TextStream
from preferences.records import FormatError

UTF8_BOM = codecs.BOM_UTF8
# UTF-32 comes first, because its little-endian byte order mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
ASCII = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))
NOT_UTF8 = "if the file is in another encoding, such as Windows-1252, save it as UTF-8"


def as_utf8(stream: TextStream, head: bytes) -> tuple[TextStream, bytes]:
    """The stream, converted to UTF-8 and without a byte order mark, and its first bytes."""
    while head.startswith(UTF8_BOM):  # some programs add a second mark
        stream.read(len(UTF8_BOM))
        head = head[len(UTF8_BOM) :]
    mark, encoding = _encoding_of(head)
    if not encoding:
        return stream, head
    stream.read(len(mark))
    converted = TextStream(_Converted(stream, encoding))
    return converted, head_of(converted)


def head_of(stream: TextStream) -> bytes:
    return stream.peek(1)


def _encoding_of(head: bytes) -> tuple[bytes, str]:
    """The byte order mark and the encoding; the encoding is empty for UTF-8.

    A file without a mark is read as UTF-16 if its first two characters are ASCII and take two bytes each.
    """
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return mark, encoding
    first = head[:4]
    for encoding, zeros, letters in (
        ("utf-16-le", first[1::2], first[::2]),
        ("utf-16-be", first[::2], first[1::2]),
    ):
        if zeros == b"\0\0" and all(letter in ASCII for letter in letters):
            return b"", encoding
    return b"", ""


class _Converted:
    """A stream converted to UTF-8. A lone surrogate becomes bytes that are not valid UTF-8, so only the row
    that contains it is rejected."""

    def __init__(self, stream: TextStream, encoding: str) -> None:
        self._stream = stream
        self._name = encoding[:6].upper()
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        self._held = b""

    def read(self, size: int) -> bytes:
        while not self._held:
            data = self._stream.read1(size)
            if not data and self._stream.source.failure:
                raise FormatError(self._stream.source.failure)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise FormatError(f"the {self._name} text is truncated or damaged here") from error
            self._held = text.encode(errors="surrogatepass")
            if not data:
                break
        taken, self._held = self._held[:size], self._held[size:]
        return taken
