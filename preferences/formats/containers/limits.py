"""Size limits, and the row type that every container yields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from preferences.fields import kind
from preferences.quirks import Quirk
from preferences.records import FormatError, Row

HEAD_BYTES = 64 * 1024
# A program can set these two limits before it reads files. They apply to the whole process, like the csv
# module's own limit.
MAX_ROW_BYTES = 8 * 2**20
MAX_EXPANDED_BYTES = 64 * 2**30
# The limit for reading only the first rows of a file. With the default MAX_ROW_BYTES, 50 rows take at most
# 400 MiB, so the limit is reached only if a row is too long or if a Parquet file must be unpacked.
HEAD_EXPANDED_BYTES = 512 * 2**20
# Text compresses by a factor of 3 to 10, and repetitive logs compress by a factor of up to about 50. The
# largest factor that gzip can reach is 1,032. The ratio is not checked for the first 64 MiB of unpacked data.
# A small file of identical rows is therefore not treated as a decompression bomb.
MAX_EXPANSION_RATIO = 120
FREE_EXPANDED_BYTES = 64 * 2**20
# Parquet stores a repeated value once. A file with the same long prompt in every row can therefore expand by
# a factor of several hundred.
MAX_REPETITION = 2000


class ExpansionError(FormatError):
    """Raised if the data expands to far more than its packed size, or to more than MAX_EXPANDED_BYTES."""


class Expanded:
    """Counts the unpacked bytes of a file, or of all files in an archive. The default limit is
    MAX_EXPANDED_BYTES."""

    def __init__(self, limit: int | None = None) -> None:
        self.bytes = 0
        self.limit = MAX_EXPANDED_BYTES if limit is None else limit

    @property
    def exceeded(self) -> bool:
        return self.bytes > self.limit

    def count(self, size: int) -> None:
        """Adds `size` bytes to the count. Raises ExpansionError if the count exceeds the limit."""
        self.bytes += size
        if self.exceeded:
            raise ExpansionError(f"the data exceeds the limit of {self.limit:,} bytes")


@dataclass(frozen=True, slots=True)
class NumberedRow:
    """A row with its line number, or the reason why the row can't be read. Line numbers start at 1. In
    Parquet and JSON arrays, the line number is the row number.

    `file` is the file's name in an archive of several files, and is otherwise empty. `quirks` are deviations
    from the container's specification.
    """

    line: int
    row: Row | None
    reason: str = ""
    file: str = ""
    quirks: tuple[Quirk, ...] = ()


def shown(value: Any) -> str:
    """The text that an error message shows for a value that is not an object. Only the type of a list is
    shown, because a list can be nested too deeply to print."""
    return kind(value) if isinstance(value, list) else json.dumps(value)[:40]


def unpacks_too_far(expanded: int, packed: int) -> bool:
    return expanded > FREE_EXPANDED_BYTES and expanded > packed * MAX_EXPANSION_RATIO
