"""Rows of JSON: one object per line, or the objects of one array."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from preferences.formats.containers import limits
from preferences.formats.containers.encodings import NOT_UTF8, UTF8_BOM
from preferences.formats.containers.limits import NumberedRow, shown
from preferences.formats.containers.streams import TextStream, bounded_lines, bounded_mac_lines
from preferences.quirks import NOT_A_NUMBER, Quirk
from preferences.records import RowError

NOT_JSON = "the line is not valid JSON"
JSON_SPACE = re.compile(r"[ \t\r\n]*")


def jsonl_rows(stream: TextStream, *, mac: bool = False) -> Iterator[NumberedRow]:
    """`mac`: a carriage return alone ends a line."""
    constants = _Constants()
    decode = json.JSONDecoder(parse_constant=constants.append).decode
    for number, raw in enumerate((bounded_mac_lines if mac else bounded_lines)(stream), start=1):
        if raw is None:
            yield NumberedRow(number, None, f"the line is longer than {limits.MAX_ROW_BYTES:,} bytes")
            continue
        if not raw.strip():
            continue
        try:
            value = decode(raw.removeprefix(UTF8_BOM).decode())
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}; {NOT_UTF8}"
            yield NumberedRow(number, None, reason)
        except (ValueError, RecursionError) as error:
            constants.clear()
            yield NumberedRow(number, None, f"{NOT_JSON}: {error}")
        else:
            if isinstance(value, dict):
                yield NumberedRow(number, value, quirks=constants.taken() if constants else ())
            else:
                yield NumberedRow(number, None, f"the line contains {shown(value)}, not a JSON object")


def array_rows(stream: TextStream) -> Iterator[NumberedRow]:
    """The objects of one JSON array, one in memory at a time. Reading stops at an unreadable object, because
    the start of the next one can't be found."""
    text = _ArrayText(stream)
    number = 0
    text.skip("[")
    while not text.skip("]"):
        number += 1
        try:
            value = text.value()
        except RowError as error:
            yield NumberedRow(number, None, f"{error}; reading stopped")
            return
        if isinstance(value, dict):
            yield NumberedRow(number, value, quirks=text.constants.taken())
        else:
            yield NumberedRow(number, None, f"the row is {shown(value)}, not a JSON object")
        if not text.skip(",") and not text.at("]"):
            broken = "the JSON array is truncated or damaged here; reading stopped"
            yield NumberedRow(number + 1, None, broken)
            return


class _Constants(list[str]):
    """The NaN and Infinity literals of a row. Python writes these literals, although they are not JSON. The
    decoder calls `append` for each literal and uses the result, None, as the literal's value."""

    def taken(self) -> tuple[Quirk, ...]:
        found = (NOT_A_NUMBER,) if self else ()
        self.clear()
        return found


class _ArrayText:
    """The text of a stream from the current position onwards; text before that position is dropped."""

    def __init__(self, stream: TextStream) -> None:
        self._stream = stream
        self.constants = _Constants()
        # A byte that is not UTF-8 becomes a lone surrogate, which field validation rejects.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._json = json.JSONDecoder(parse_constant=self.constants.append)
        self._text = ""
        self._place = 0
        self._ended = False

    def at(self, mark: str) -> bool:
        while True:
            self._place = JSON_SPACE.match(self._text, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._text) or self._ended:
                return self._text.startswith(mark, self._place)
            self._read(limits.HEAD_BYTES)

    def skip(self, mark: str) -> bool:
        found = self.at(mark)
        self._place += len(mark) if found else 0
        return found

    def value(self) -> Any:
        self.at("")
        while True:
            try:
                self.constants.clear()
                value, self._place = self._json.raw_decode(self._text, self._place)
                return value
            except RecursionError:
                raise RowError("the row is nested too deeply") from None
            except ValueError as error:
                held = len(self._text) - self._place
                if self._ended:
                    raise RowError(f"the row is not valid JSON: {error}") from None
                if held > limits.MAX_ROW_BYTES:
                    raise RowError(
                        f"the row is longer than {limits.MAX_ROW_BYTES:,} bytes, or is damaged"
                    ) from None
                # After each failed attempt, twice as much text is read. Failed attempts therefore at most
                # double the cost of parsing a long row.
                self._read(max(limits.HEAD_BYTES, held))

    def _read(self, size: int) -> None:
        data = self._stream.read(size)
        self._ended = not data
        self._text = self._text[self._place :] + self._decoder.decode(data, final=self._ended)
        self._place = 0
