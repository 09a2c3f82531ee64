"""The rows of a file of rankings, one after another: .parquet, .jsonl, .jsonl.gz, .json (one array), .csv as
the platform exports it, or its .zip with a Parquet file in it."""

from __future__ import annotations

import csv
import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as parquet

from training.rlhf.data import pairs

BOM = b"\xef\xbb\xbf"  # which Windows writes before UTF-8
REQUIRED_COLUMNS = ("messages", "responses", "tiers")
OPTIONAL_COLUMNS = (
    "ranking_id",
    "prompt_hash",
    "split",
    "strength",
    "annotator",
    "not_rankable",
    "weight",
    "unranked",
    "all_bad",
    "source",
    "votes",
    "round",
)
JSON_CELLS = ("messages", "tiers", "unranked")
NUMBER_CELLS = {"strength": int, "round": int, "votes": int, "weight": float}
YES_CELLS = ("not_rankable", "all_bad")
RESPONSE_CELL = re.compile(r"response_(\d+)")
# The exporter puts an apostrophe before what a spreadsheet would run, and before what begins like that.
NEUTRALISED = re.compile(r"''*[=+\-@\t\r\n]")
LARGEST_CELL = 2**31 - 1  # of characters; csv's own bound is 131,072, and a conversation may be longer

Placed = tuple[str, dict[str, Any] | Exception]


class RankingFileError(ValueError):
    """A file of rankings cannot be read, or rows in it are broken; the message names the rows."""


def rows_of(file: Path) -> Iterator[Placed]:
    """(where it stands, the row or why it is none) for each row of the file. Raises RankingFileError."""
    if not file.is_file():
        raise RankingFileError(f"{file}: there is no such file")
    if file.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _lines(file)
    elif file.suffix == ".json":
        yield from _array(file)
    elif file.suffix == ".csv":
        yield from _table_of_cells(file)
    elif file.suffix == ".zip":
        yield from _zipped(file)
    elif file.suffix == ".parquet":
        yield from _columns(file, file.name)
    else:
        known = ".parquet, .jsonl, .jsonl.gz, .json, .csv or .zip"
        raise RankingFileError(f"{file.name}: rankings are read from {known}")


def _columns(source: Path | IO[bytes], name: str) -> Iterator[Placed]:
    try:
        table = parquet.ParquetFile(source)
    except (OSError, ValueError) as error:
        raise RankingFileError(f"{name} is not a readable Parquet file: {error}") from error
    present = set(table.schema_arrow.names)
    missing = [column for column in REQUIRED_COLUMNS if column not in present]
    paired = bool(missing) and present.issuperset(pairs.COLUMNS)
    if missing and not paired:
        raise RankingFileError(
            f"{name} has no column {', '.join(missing)} (nor chosen and rejected): is it a snapshot of "
            "rankings?"
        )
    number = 0
    wanted = pairs.COLUMNS + pairs.MORE_COLUMNS if paired else REQUIRED_COLUMNS
    batches = table.iter_batches(columns=[n for n in wanted + OPTIONAL_COLUMNS if n in present])
    while True:
        try:
            batch = next(batches, None)
        except (OSError, ValueError) as error:
            raise RankingFileError(f"{name} is damaged after row {number}: {error}") from error
        if batch is None:
            return
        for row in batch.to_pylist():
            yield f"row {number}", row
            number += 1


def _zipped(file: Path) -> Iterator[Placed]:
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(".parquet")]
            if len(names) != 1:
                raise RankingFileError(f"{file.name} holds {len(names)} Parquet files, and one is wanted")
            with archive.open(names[0]) as member:
                yield from _columns(member, f"{names[0]} in {file.name}")
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise RankingFileError(f"{file.name} is not a readable zip file: {error}") from error


def _lines(file: Path) -> Iterator[Placed]:
    number = 0
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"line {number}", _parse(line.removeprefix(BOM) if number == 1 else line)
    except (OSError, EOFError, zlib.error) as error:
        raise RankingFileError(f"{file.name} can't be read after line {number}: {error}") from error


def _parse(line: bytes) -> dict[str, Any] | Exception:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return ValueError(f"not UTF-8 ({error})")
    except (ValueError, RecursionError) as error:
        return ValueError(f"not JSON ({error})")
    return row if isinstance(row, dict) else ValueError("not a JSON object")


def _array(file: Path) -> Iterator[Placed]:
    try:
        items = json.loads(file.read_bytes().removeprefix(BOM).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise RankingFileError(f"{file.name} is not JSON: {error}") from error
    if not isinstance(items, list):
        raise RankingFileError(f"{file.name} is no JSON array: one of rows or tasks is wanted")
    for number, item in enumerate(items):
        yield f"item {number}", item if isinstance(item, dict) else ValueError("not a JSON object")


def _table_of_cells(file: Path) -> Iterator[Placed]:
    csv.field_size_limit(LARGEST_CELL)
    number = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            table = csv.DictReader(text)
            missing = [n for n in ("messages", "tiers", "response_1") if n not in (table.fieldnames or ())]
            if missing:
                raise RankingFileError(
                    f"{file.name} has no column {', '.join(missing)}: is it the CSV export of a snapshot?"
                )
            for number, cells in enumerate(table, start=1):
                yield f"row {number}", _row(cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RankingFileError(f"{file.name} can't be read after row {number}: {error}") from error


def _row(cells: Mapping[str | Any, Any]) -> dict[str, Any] | Exception:
    """An empty cell is none. How many responses a row has says ``n_responses``; an empty one may be said."""
    if None in cells or None in cells.values():
        return ValueError("it has not as many cells as the first line names")
    row: dict[str, Any] = {n: cells[n] for n in OPTIONAL_COLUMNS if cells.get(n)}
    try:
        for name in JSON_CELLS:
            row[name] = json.loads(cells.get(name) or "null")
        for name, kind in NUMBER_CELLS.items():
            row[name] = kind(cells[name]) if cells.get(name) else None
    except (ValueError, RecursionError) as error:
        return ValueError(f"the cell {name}: {error}")
    for name in YES_CELLS:
        row[name] = str(cells.get(name, "")).lower() == "true"
    numbered = sorted(int(found[1]) for name in cells if (found := RESPONSE_CELL.fullmatch(str(name))))
    said = str(cells.get("n_responses") or "")
    count = int(said) if said.isdecimal() else sum(bool(cells[f"response_{n}"]) for n in numbered)
    row["annotator"] = _restored(cells.get("annotator") or "")
    row["responses"] = [_restored(cells[f"response_{n}"]) for n in numbered[:count]]
    return row


def _restored(text: str) -> str:
    return text[1:] if NEUTRALISED.match(text) else text
