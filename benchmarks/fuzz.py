"""Read randomly damaged files of every format and container.

    .venv/bin/python -m benchmarks.fuzz [--minutes 10] [--seed 1] [--keep fuzz-failure.bin]

Each file must either be read, or be rejected with a reason. Valid files are damaged in three ways:

- in their values: NaN, huge numbers, deep nesting, other types
- in their text: Python lists, delimiters, encodings
- in their bytes: flipped bits, cuts, splices

The files are also packed with gzip and zip. The program prints the number of inputs. It stops if reading an
input raises an exception other than FormatError or takes longer than ten seconds, or if a record could not be
stored in the database. The input that caused the fault is then kept in a file. The same seed produces the
same inputs. The tests read the first inputs of one seed.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import gzip
import io
import json
import random
import re
import sys
import time
import traceback
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import FormatError, RankingRecord, Record
from preferences.text import storage_fault

MAX_SECONDS = 10.0
ROWS = 3
EXAMPLES = {name: json.loads(known.example) for name, known in IMPORT_FORMATS.items()}
EXAMPLES["plain-pair"] = {
    "prompt": "Q",
    "chosen": "a",
    "rejected": "b",
    "margin": 2.0,
    "metadata": {"a": [1]},
}
EXAMPLES["ratings"] = {
    "messages": [{"role": "user", "content": "Q"}],
    "responses": [{"text": "a", "id": "x", "sampling": {"t": 1}, "metadata": {"n": 1}}, "b"],
    "ranking": [2, 1],
    "ratings": {"x": {"help": 1}},
    "flags": {"1": ["bad"]},
    "choices": {"ok": "yes"},
    "strength": 1,
    "duration_ms": 5,
    "annotator": "ann",
    "ranking_id": "r",
    "ranking_metadata": {"a": 1},
    "given_at": "2025-01-02",
    "weight": 1.5,
    "gold_tiers": [[0], [1]],
}
VALUES: list[Any] = [
    *(None, True, 0, -1, 2.0, 2.5, float("nan"), float("inf"), 10**25, 10**400, -(2**63), 1e300),
    *("", " ", "[", "[1", "{'a'", "['a' 'b']", "[{'role': 'user', 'content': 'x'}]", '[{"role": 1}]', "NaN"),
    *(
        "\x00",
        "\ud800",
        "\ufeff",
        "2.0",
        "9" * 5000,
        "1e999",
        "A",
        "tie",
        "\n\nHuman: x",
        "é😀",
        "a;b\tc|d,e",
    ),
    *([], {}, [[]], [None], [{}], {"": None}, [[0], [1]], ["a", "b"], {"role": "user", "content": "x"}),
    *(
        [float("nan")],
        {"k": float("inf")},
        {"text": None},
        [{"from": "gpt", "value": ["x"]}],
        {"a": {"b": [{}]}},
    ),
]
TOKENS = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\x00",
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b"|",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b"None", b"array(", b"\xff", b"\xed\xa0\x80", b"\\ud800"),
    *(
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"PAR1",
        b"[" * 3000,
        b"9" * 5000,
    ),
    b"sep=;\n",
]
JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252")


@dataclass(frozen=True, slots=True)
class Input:
    """A file's bytes, and the `format` that is passed to the reader. If `format` is None, the reader detects
    the format."""

    data: bytes
    format: str | None


def inputs(seed: int) -> Iterator[Input]:
    """An endless sequence of inputs that depends only on the seed."""
    rng = random.Random(seed)
    while True:
        name = rng.choice(list(EXAMPLES))
        rows = [_mutated(EXAMPLES[name], rng) if rng.random() < 0.7 else EXAMPLES[name] for _ in range(ROWS)]
        data = _packed(_damaged(_written(rows, rng), rng, 0.6), rng)
        data = _damaged(data, rng, 0.3)
        yield Input(data, name if name in IMPORT_FORMATS and rng.random() < 0.5 else None)


def fault_of(tried: Input) -> str:
    """Return a description of the fault that this input reveals in the reader, or an empty string if there is
    none."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for item in read_records(io.BytesIO(tried.data), tried.format)[1]:
                if fault := _fault_of_line(item):
                    return f"line {item.line}: {fault}"
        except FormatError as error:
            if not str(error).strip() or storage_fault(str(error)):
                return f"the error can't be shown: {error!a}"
        except Exception:
            return traceback.format_exc()
    seconds = time.perf_counter() - began
    return f"reading took {seconds:.0f} s" if seconds > MAX_SECONDS else ""


def _fault_of_line(item: NumberedRecords) -> str:
    if bool(item.records) == bool(item.reason):
        return "the line must have either records or a reason, but not both"
    if storage_fault(item.reason):
        return "the reason can't be shown"
    return next(
        (f for record in item.records if isinstance(record, Record) if (f := _fault_of_record(record))), ""
    )


def _fault_of_record(record: Record) -> str:
    texts = [turn["content"] for turn in record.messages] + [response.text for response in record.responses]
    texts += [response.model for response in record.responses]
    stored: list[Any] = [record.metadata, record.task_metadata]
    stored += [(response.sampling, response.metadata) for response in record.responses]
    for ranking in record.rankings:
        texts += [ranking.comment, ranking.rewrite or "", ranking.annotator, ranking.external_id]
        stored += [ranking.ratings, ranking.flags, ranking.choices, ranking.metadata]
        if fault := _fault_of_ranking(ranking, len(record.responses)):
            return fault
    if not record.messages or not any(turn["content"].strip() for turn in record.messages):
        return "there is no prompt"
    try:
        texts.append(json.dumps(stored, allow_nan=False, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError) as error:
        return f"a value can't be stored as JSON: {error}"
    if any(not isinstance(text, str) or storage_fault(text) for text in texts):
        return "a string can't be stored"
    return "a JSON value contains NUL" if JSON_NUL.search(texts[-1]) else ""


def _fault_of_ranking(ranking: RankingRecord, count: int) -> str:
    ranked = [index for tier in ranking.tiers for index in tier]
    numbers = [ranking.strength, ranking.confidence, ranking.duration_ms, ranking.training.round]
    if any(type(number) is not int for number in (*ranked, *(n for n in numbers if n is not None))):
        return "a number is not an integer"
    if len(set(ranked)) != len(ranked) or not set(ranked) <= set(range(count)):
        return f"the tiers {ranking.tiers} do not fit {count} responses"
    return ""


def _mutated(value: Any, rng: random.Random) -> Any:
    """`value` with one part replaced, removed or moved."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        return rng.choice(VALUES) if rng.random() < 0.9 else _deep(rng.choice((10, 60, 900, 3000)))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    changed: Any = value.copy()
    key = rng.choice(keys)
    kind = rng.random()
    if kind < 0.1:
        del changed[key]
    elif kind < 0.2:
        changed[key] = value[rng.choice(keys)]
    elif kind < 0.25 and isinstance(value, list):
        changed += value * rng.choice((1, 5, 300))
    else:
        changed[key] = _mutated(value[key], rng)
    return changed


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _written(rows: list[Any], rng: random.Random) -> bytes:
    kind = rng.choice(("jsonl", "jsonl", "array", "csv", "csv", "parquet"))
    try:
        if kind == "parquet":
            return _parquet(rows, rng)
        if kind == "csv":
            return _csv(rows, rng)
        texts = [json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows]
    except (ValueError, TypeError, RecursionError, OverflowError, AttributeError, pa.ArrowException):
        texts = [json.dumps(EXAMPLES["plain-pair"])]
    text = "[" + ",".join(texts) + "]" if kind == "array" else rng.choice(("\n", "\r\n", "\r")).join(texts)
    return text.encode(errors="surrogatepass")


def _csv(rows: list[Any], rng: random.Random) -> bytes:
    stream = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    delimiter, end = rng.choice((",", ",", ";", "\t", "|")), rng.choice(("\n", "\r\n", "\r"))
    writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
    writer.writerow(["", *columns] if rng.random() < 0.3 else columns)
    as_text = rng.choice((json.dumps, repr, str))
    for row in rows:
        cells = [row.get(name) for name in columns]
        writer.writerow([as_text(cell) if isinstance(cell, (dict, list)) else cell for cell in cells])
    return stream.getvalue().encode(errors="surrogatepass")


def _parquet(rows: list[Any], rng: random.Random) -> bytes:
    table = pa.Table.from_pylist(rows)
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type) and rng.random() < 0.3:
            kind = rng.choice((pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())))
            table = table.set_column(index, field.name, table.column(index).cast(kind))
    stream = io.BytesIO()
    pq.write_table(
        table, stream, row_group_size=rng.choice((1, 2, 100)), compression=rng.choice(("none", "zstd"))
    )
    return stream.getvalue()


def _packed(data: bytes, rng: random.Random) -> bytes:
    kind = rng.random()
    if kind < 0.15 and not data.startswith(b"PAR1"):
        text = data.decode(errors="replace")
        encoding = rng.choice(ENCODINGS)
        data = text.encode(encoding, errors="replace")
        data = (codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b"") + data
    if rng.random() < 0.15:
        half = rng.randrange(len(data) + 1)
        parts = [data[:half], data[half:]] if rng.random() < 0.5 else [data]
        data = b"".join(gzip.compress(part, 1, mtime=0) for part in parts)
    if rng.random() < 0.15:
        stream = io.BytesIO()
        method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
        with zipfile.ZipFile(stream, "w", method) as archive:
            for number in range(rng.choice((1, 1, 2))):
                archive.writestr(
                    zipfile.ZipInfo(f"{number}.{rng.choice(('jsonl', 'csv', 'json.gz'))}"), data, method
                )
        data = stream.getvalue()
    return data


def _damaged(data: bytes, rng: random.Random, chance: float) -> bytes:
    changed = bytearray(data)
    while changed and rng.random() < chance:
        place = rng.randrange(len(changed))
        size = rng.choice((1, 1, 2, 4, 16, 100))
        kind = rng.randrange(6)
        if kind == 0:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[place : place + size] = rng.randbytes(size)
        elif kind == 2:
            del changed[place:]
        elif kind == 3:
            del changed[place : place + size]
        elif kind == 4:
            other = rng.randrange(len(changed))
            changed[place:place] = changed[other : other + size * 10]
        else:
            changed[place:place] = rng.choice(TOKENS)
    return bytes(changed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failure.bin"))
    options = parser.parse_args()
    end, count = time.monotonic() + options.minutes * 60, 0
    for tried in inputs(options.seed):
        # If Arrow crashes the process, the file still contains the input that caused the crash.
        options.keep.write_bytes(tried.data)
        count += 1
        if fault := fault_of(tried):
            sys.exit(f"input {count:,} (kept in {options.keep}, format {tried.format}):\n{fault}")
        if time.monotonic() > end:
            break
    options.keep.unlink()
    print(f"{count:,} inputs were read or rejected with a reason (seed {options.seed})")


if __name__ == "__main__":
    main()
