"""A hostile file is rejected with a reason, or its valid rows are read and its hostile rows are reported.
Memory use is bounded."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preferences.formats.containers import limits
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import FormatError

ROW = {"prompt": "Say hello.", "responses": ["Hello!", "Hi."], "tiers": [[1], [0]]}
GOOD = json.dumps(ROW).encode()


def read(data: bytes) -> list[NumberedRecords]:
    return list(read_records(io.BytesIO(data))[1])


def reasons(data: bytes) -> dict[int, str]:
    return {item.line: item.reason for item in read(data) if not item.records}


def good_lines(data: bytes) -> list[int]:
    return [item.line for item in read(data) if item.records]


def with_field(value: bytes) -> bytes:
    return GOOD[:-1] + b', "extra": ' + value + b"}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(GOOD.replace(b"hello", b"h\xff"), "not UTF-8: byte 17 is 0xff", id="invalid UTF-8"),
        pytest.param(GOOD.replace(b"hello", b"h\\u0000"), "prompt contains a NUL", id="a NUL"),
        pytest.param(GOOD.replace(b"hello", b"h\\ud83d"), "not valid Unicode", id="half a surrogate pair"),
        pytest.param(with_field(b'{"k\\u0000": 1}'), "NUL", id="a NUL in a metadata key"),
        pytest.param(with_field(b'["\\udc00"]'), "surrogate", id="a surrogate in metadata"),
        pytest.param(with_field(b"[" * 200_000 + b"]" * 200_000), "not valid JSON", id="very deep nesting"),
        pytest.param(with_field(b"[" * 900 + b"]" * 900), "nested", id="nesting below the parser's limit"),
        pytest.param(
            with_field(b"[" * 60 + b"]" * 60), "nested deeper than 50", id="deeper than any real data"
        ),
        pytest.param(with_field(b"9" * 10_000), "not valid JSON", id="an endless number"),
        pytest.param(with_field(b"1e999"), "metadata.extra is inf", id="a number too large for a float"),
        pytest.param(GOOD.replace(b'"Say hello."', b"NaN"), "prompt is missing", id="NaN as the prompt"),
        pytest.param(GOOD[:-20], "not valid JSON", id="a broken line"),
        pytest.param(b'"text"', "not a JSON object", id="a line that is not an object"),
    ],
)
def test_hostile_line_is_reported_and_the_lines_around_it_are_read(line: bytes, reason: str) -> None:
    data = b"\n".join([GOOD, line, GOOD])
    assert good_lines(data) == [1, 3]
    assert reason in reasons(data)[2]


@pytest.mark.parametrize(
    "change",
    [
        {"tiers": [[10**300], [0]]},
        {"tiers": None, "ranking": [10**300, 1, 2]},
        {"strength": 10**300},
        {"duration_ms": -(10**300)},
        {"annotator": 10**300},
        {"given_at": 10**300, "strength": 10**20},
    ],
)
def test_field_validation_rejects_a_huge_number(change: dict[str, Any]) -> None:
    assert reasons(GOOD + b"\n" + json.dumps({**ROW, **change}).encode())[2]


def test_overlong_row_is_skipped_and_never_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 10_000)
    data = b"\n".join([GOOD, with_field(b'"' + b"x" * 100_000 + b'"'), GOOD])
    assert good_lines(data) == [1, 3]
    assert "longer than 10,000 bytes" in reasons(data)[2]


def test_reading_stops_at_an_overlong_row_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 100_000)
    data = b"[" + GOOD + b"," + with_field(b'"' + b"x" * 400_000 + b'"') + b"," + GOOD + b"]"
    assert good_lines(data) == [1]
    assert "reading stopped" in reasons(data)[2]


@pytest.mark.parametrize("kind", ["jsonl", "gzip", "parquet", "zip"])
def test_reading_stops_at_the_limit_of_expanded_bytes(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The limit applies to all files of an archive together."""
    rows = [
        {"prompt": f"Question {number}", "chosen": "a" * 1000, "rejected": "b" * 1000}
        for number in range(200)
    ]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    packed = io.BytesIO()
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), packed)
    elif kind == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("first.jsonl", lines[: len(lines) // 2])
            archive.writestr("second.jsonl", lines[len(lines) // 2 :])
    data = {"jsonl": lines, "gzip": gzip.compress(lines)}.get(kind) or packed.getvalue()
    assert all(item.records for item in read(data)) or kind == "zip"
    monkeypatch.setattr(limits, "MAX_EXPANDED_BYTES", 300_000)
    found = read(data)
    assert 90 <= sum(bool(item.records) for item in found) <= 160
    assert "the data exceeds the limit of 300,000 bytes" in found[-1].reason
    assert found[-1].reason.endswith("reading stopped")


@pytest.mark.parametrize("end", [b"", b",", b"}", b', {"prompt": ', b" null]", b", 7]"])
def test_damaged_array_yields_its_valid_rows_and_one_reason(end: bytes) -> None:
    data = b"[" + GOOD + end
    assert good_lines(data) == [1]
    assert list(reasons(data)) == [2]


def test_gzip_inside_gzip_is_refused() -> None:
    with pytest.raises(FormatError, match="a gzip file in a gzip file"):
        read(gzip.compress(gzip.compress(GOOD)))


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_valid_rows_of_a_truncated_gzip_file_are_read(keep: float) -> None:
    whole = gzip.compress(b"\n".join([json.dumps({**ROW, "prompt": f"{n}"}).encode() for n in range(5000)]))
    found = read(whole[: int(len(whole) * keep)])
    assert sum(bool(item.records) for item in found) > 100
    assert "is truncated or damaged" in found[-1].reason


def test_reading_an_unclosed_quote_stops_at_the_row_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 10_000)
    data = b'prompt,response_1,response_2\nQ,a,b\nQ,"a' + b"\nmore" * 100_000
    assert good_lines(data) == [2]
    assert "is a closing quote missing?" in reasons(data)[3]


def test_csv_row_with_too_many_columns_is_rejected_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    header = ["prompt", "response_1", "response_2", *(f"column{n}" for n in range(20_000))]
    data = ",".join(header) + "\nQ,a,b" + ",x" * 20_000 + "\n"
    assert "metadata takes" in reasons(data.encode())[2]


def table(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"prompt": [1], "responses": [["a", "b"]]}, "prompt must be text"),
        ({"prompt": ["Q"], "responses": [[1.5, 2.5]]}, "responses.0 must be text"),
        ({"prompt": ["Q"], "responses": pa.array([b"\xff\xfe"])}, "responses"),
        ({"prompt": ["Q"], "response_1": ["a"], "response_2": [None]}, "at least 2"),
        ({"prompt": ["Q"], "responses": [["a", "b"]], "tiers": [["x"]]}, "tiers"),
        ({"prompt": ["Q"], "responses": [["a", "b"]], "ranking": [[1.5, 2.0]]}, "rank number"),
    ],
)
def test_rows_with_wrong_parquet_types_are_rejected_one_by_one(columns: dict[str, Any], reason: str) -> None:
    found = list(read_records(io.BytesIO(table(**columns)), "rankloop")[1])
    assert [bool(item.records) for item in found] == [False]
    assert reason in found[0].reason


def test_truncated_parquet_is_refused_and_a_damaged_page_is_reported() -> None:
    whole = table(prompt=[f"Question {n}" * 20 for n in range(5000)], responses=[["a", "b"]] * 5000)
    with pytest.raises(FormatError, match="can't be opened"):
        read(whole[: len(whole) // 2])
    torn = bytearray(whole)
    torn[1000:3000] = bytes(2000)
    found = list(read_records(io.BytesIO(bytes(torn)), "rankloop")[1])
    assert "damaged here" in found[-1].reason


BOMBS = {
    "gzip": "gzip.compress(good + b'\\n' + b'{' + b' ' * (300 * 2**20), 1)",
    "one endless line": "gzip.compress(good + b'\\n' + b'x' * (200 * 2**20), 1)",
    "array": "gzip.compress(b'[' + good + b',' + b'[' * (200 * 2**20), 1)",
    "parquet": "repeated()",
}
PROGRAM = """
import gzip, io, json, resource, sys
import pyarrow as pa, pyarrow.parquet as pq
from preferences.formats.recognition import read_records
good = json.dumps({"prompt": "Q", "responses": ["a", "b"]}).encode()
def repeated():
    sink = io.BytesIO()
    value = pa.array(["x" * 900_000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 400, pa.int32()), value)
    pq.write_table(pa.table({"prompt": ["Q"] * 400, "responses": [["a", "b"]] * 400, "n": column}), sink)
    return sink.getvalue()
open(sys.argv[1], "wb").write(%s) if sys.argv[2] == "write" else None
if sys.argv[2] == "read":
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = list(read_records(open(sys.argv[1], "rb"))[1])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reasons = [item.reason for item in found if item.reason]
    print(json.dumps({"MiB": (after - before) / 1024, "reasons": reasons[:3]}))
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_decompression_bomb_is_stopped_with_bounded_memory(tmp_path: Path, bomb: str) -> None:
    """The file is read in a separate process, so that the peak memory can be measured."""
    program, file = PROGRAM % BOMBS[bomb], tmp_path / "bomb"
    for step in ("write", "read"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(file), step], capture_output=True, text=True, check=True
        )
    result = json.loads(done.stdout)
    assert file.stat().st_size < 30 * 2**20
    assert result["reasons"]
    assert result["MiB"] < 600
