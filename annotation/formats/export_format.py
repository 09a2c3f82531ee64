"""What an export format is: a function from a snapshot's rows to the bytes of a file, made as it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """`write` gets the rows (see snapshot_parquet.SCHEMA) and the snapshot's card, which counts them."""

    name: str
    title: str
    suffix: str
    media_type: str
    write: Callable[[Iterable[Row], Mapping[str, Any]], Iterator[bytes]]
