"""CSV for spreadsheets and notebooks, with one complete ranking per line. The file contains no text that a
spreadsheet would interpret as a formula.

If a cell begins with `=`, `+`, `-`, `@`, a tab or a line ending, a spreadsheet can interpret it as a formula
(CWE-1236). Such a cell gets a leading apostrophe. A cell that begins with apostrophes followed by one of
these characters gets another apostrophe. Removing one apostrophe therefore restores every changed cell. The
import applies :func:`restored` to Rankloop's own files.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preferences.fields import int_of, list_of, parsed_of
from preferences.formats.export_format import ExportFormat, Options, Row, SnapshotFile

FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
JSON_CELLS = ("messages", "tiers", "unranked", "gold_tiers", "ratings", "flags", "choices")
METADATA_CELLS = ("prompt_metadata", "task_metadata", "ranking_metadata")
PLAIN_CELLS = (
    "ranking_id",
    "task_id",
    "prompt_id",
    "prompt_hash",
    "split",
    "round",
    "task_kind",
    "kind",
    "annotator",
    "source",
    "strength",
    "confidence",
    "not_rankable",
    "all_bad",
    "comment",
    "rewrite",
    "touched",
    "duration_ms",
    "weight",
    "votes",
    "decided_by",
    "form_version",
    "given_at",
    "created_at",
)
TEXT_CELLS = {"comment", "rewrite", "annotator"}
TIME_CELLS = ("given_at", "created_at")
ONE_CELL = frozenset(PLAIN_CELLS)
# This column exists only in CSV files written by Rankloop and identifies them.
MARK = "n_responses"
LINES_PER_CHUNK = 200
_json = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def neutralised(text: str) -> str:
    return "'" + text if FORMULA.match(text) else text


def restored(text: str) -> str:
    """Restore text that :func:`neutralised` changed."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def row_of(cells: Mapping[str, str]) -> dict[str, Any]:
    """Convert a line of a Rankloop CSV file to the `ranking` export format, so that it can be imported. Empty
    cells are treated as missing values."""
    row: dict[str, Any] = {name: value for name, value in cells.items() if value != "" and name in ONE_CELL}
    for name in TEXT_CELLS & row.keys():
        row[name] = restored(row[name])
    for name in (*JSON_CELLS, *METADATA_CELLS):
        row[name] = parsed_of(cells.get(name) or "null", name)
    sampling, metadata = (list_of(cells.get(name) or [], name) for name in ("sampling", "response_metadata"))
    row["responses"] = [
        {
            "text": restored(cells.get(f"response_{number}") or ""),
            "model": restored(cells.get(f"model_{number}") or ""),
            "sampling": sampling[number - 1] if number <= len(sampling) else {},
            "metadata": metadata[number - 1] if number <= len(metadata) else {},
        }
        for number in range(1, 1 + (int_of(cells.get(MARK), MARK, low=0, high=99) or 0))
    ]
    return row


def _columns(most: int) -> list[str]:
    numbered = [f"{what}_{number}" for number in range(1, most + 1) for what in ("response", "model")]
    return [
        *PLAIN_CELLS,
        MARK,
        *JSON_CELLS,
        *METADATA_CELLS,
        "sampling",
        "response_metadata",
        *numbered,
    ]


def _cells(row: Row) -> dict[str, Any]:
    shown = row["responses"]
    cells = {name: row[name] for name in (*PLAIN_CELLS, *JSON_CELLS, *METADATA_CELLS)}
    for name in TIME_CELLS:
        cells[name] = cells[name] and cells[name].isoformat()
    for name in TEXT_CELLS:
        cells[name] = None if cells[name] is None else neutralised(cells[name])
    # The other JSON cells are already serialized.
    for name in ("messages", "tiers", "unranked", "gold_tiers"):
        cells[name] = _json(row[name])
    place = {response["id"]: str(index) for index, response in enumerate(shown)}
    for name in ("ratings", "flags"):
        if row[name] != "{}":
            cells[name] = _json(
                {place[id]: value for id, value in json.loads(row[name]).items() if id in place}
            )
    cells[MARK] = len(shown)
    for name, part in (("sampling", "sampling"), ("response_metadata", "metadata")):
        cells[name] = f"[{', '.join(response[part] for response in shown)}]"
    for number, response in enumerate(shown, start=1):
        cells[f"response_{number}"] = neutralised(response["text"])
        cells[f"model_{number}"] = neutralised(response["model"])
    return cells


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    most = max((int(size) for size in snapshot.card["responses_per_ranking"]), default=0)
    text = io.StringIO(newline="")
    columns = _columns(most)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for number, row in enumerate(snapshot.rows(), start=1):
        cells = _cells(row)
        writer.writerow([cells.get(name) for name in columns])
        if not number % LINES_PER_CHUNK:
            yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    data = text.getvalue().encode(errors="backslashreplace")
    text.seek(0)
    text.truncate()
    return data


FORMAT = ExportFormat(
    name="csv",
    title="One line per ranking (CSV, UTF-8)",
    use="For spreadsheets and notebooks; lists and objects are written as JSON.",
    loses=frozenset(),
    notes=(
        "If a text begins with =, +, -, @, a tab or a line ending, a spreadsheet could interpret it as a "
        "formula. Such text gets a leading apostrophe, which an import removes. An import treats an empty "
        "rewrite as missing."
    ),
    example="ranking_id,…,strength,…,messages,tiers,…,response_1,model_1,response_2,model_2",
    suffix=".csv",
    media_type="text/csv; charset=utf-8",
    write=_write,
    imports_as="rankloop",
    loader="csv",
)
