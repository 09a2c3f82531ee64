"""A zip archive is read file by file; decompression bombs, broken archives and office documents are
refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preferences.formats.containers import archive, limits
from preferences.formats.recognition import read_records
from preferences.records import FormatError

ROW = {"prompt": "Say hello.", "responses": ["Hello!", "Hi."], "tiers": [[1], [0]]}
GOOD = json.dumps(ROW).encode()
TABLE = io.BytesIO()
pq.write_table(pa.Table.from_pylist([ROW] * 3), TABLE)


def zipped(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


def read(data: bytes) -> list[str]:
    """The reason for rejecting each row, or "" if the row is read."""
    return [line.reason for line in read_records(io.BytesIO(data))[1]]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_dataset_folder_is_read_file_by_file(method: int) -> None:
    files = {
        "README.md": b"# About",
        "dataset_info.json": b'{"features": {}}',
        "__MACOSX/data/._a.jsonl": b"\x00\x05",
        ".hidden/b.jsonl": b"nothing",
        "data/a.jsonl": GOOD + b"\n" + GOOD,
        "data/b.json": b"[" + GOOD + b"]",
        "data/c.csv": b"prompt,response_1,response_2\nQ,a,b\n",
        "data/d.parquet": TABLE.getvalue(),
        "data/e.jsonl.gz": gzip.compress(GOOD),
    }
    assert read(zipped(files, method=method)) == [""] * 8


def test_broken_file_is_named_and_affects_only_its_own_rows() -> None:
    files = {"a.jsonl": GOOD, "b.jsonl": b"{\n" + GOOD, "c.parquet": b"PAR1 no more", "d.jsonl": GOOD}
    found = [(line.file, bool(line.reason)) for line in read_records(io.BytesIO(zipped(files)))[1]]
    assert found == [
        ("a.jsonl", False),
        ("b.jsonl", True),
        ("b.jsonl", False),
        ("c.parquet", True),
        ("d.jsonl", False),
    ]


def test_error_does_not_name_the_only_file_in_an_archive() -> None:
    assert read(zipped({"a.jsonl": GOOD + b"\n{"}))[1].startswith("the line is not valid JSON")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"README.md": b"text"}, "contains no data file"),
        ({"[Content_Types].xml": b"<x/>", "xl/a.csv": b"prompt"}, "spreadsheet or another office document"),
        ({"a.jsonl": b""}, "The file is empty"),
        ({"inner.zip": zipped({"a.jsonl": GOOD})}, "contains no data file"),
        ({"a.jsonl": zipped({"a.jsonl": GOOD})}, "a zip archive in another archive"),
    ],
)
def test_archive_without_readable_data_is_refused(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read(zipped(files))


def test_reading_a_damaged_file_in_an_archive_stops_with_a_reason() -> None:
    rows = b"\n".join(json.dumps({**ROW, "prompt": f"Question {n}"}).encode() for n in range(9000))
    whole = bytearray(zipped({"a.jsonl": rows}))
    whole[len(whole) // 2 : len(whole) // 2 + 50] = bytes(50)
    reasons = read(bytes(whole))
    assert len(reasons) > 100
    assert "the zip archive is truncated or damaged" in reasons[-1]


def test_encrypted_archive_is_refused() -> None:
    data = bytearray(zipped({"a.jsonl": GOOD}))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.index(magic) + offset
        data[place] |= 1
    with pytest.raises(FormatError, match="encrypted"):
        read(bytes(data))


def test_archive_with_implausible_declared_sizes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_EXPANDED_BYTES", 2**20)
    with pytest.raises(FormatError, match="would unpack to"):
        read(zipped({"a.jsonl": GOOD + b"\n" + b" " * 2**24}))


def test_reading_an_archive_with_a_false_declared_size_stops_at_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FREE_EXPANDED_BYTES", 2**20)
    monkeypatch.setattr(archive, "unpacks_too_far", lambda expanded, packed: False)
    reasons = read(zipped({"a.jsonl": GOOD + b"\n" + b" " * 2**24}))
    assert reasons[0] == ""
    assert "unpacks to more than" in reasons[-1]


def test_nested_decompression_bomb_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_EXPANDED_BYTES", 2**20)
    reasons = read(zipped({"a.jsonl.gz": gzip.compress(GOOD + b"\n" + b" " * 2**26)}))
    assert "unpacks to more than" in reasons[-1]


def test_overlapping_entries_are_refused() -> None:
    """Many entries share the same compressed data, as in a decompression bomb. Each entry's own compression
    ratio looks harmless."""
    data = zipped({"a.jsonl": b"\n".join([GOOD] * 50)})
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry, count = data[start:end], 40
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, count, count, len(entry) * count)
    with pytest.raises(FormatError, match="Entries of the zip archive overlap"):
        read(data[:start] + entry * count + bytes(tail))


def test_archive_with_too_many_entries_is_refused_before_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ENTRIES", 20)
    data = zipped({f"{n}.jsonl": GOOD for n in range(21)})
    opened: list[Any] = []
    monkeypatch.setattr(zipfile, "ZipFile", lambda *args: opened.append(args))
    with pytest.raises(FormatError, match="more than 20 files"):
        read(data)
    assert not opened


def test_disk_use_of_zipped_parquet_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_EXPANDED_BYTES", 100)
    with pytest.raises(FormatError, match="the data exceeds the limit of 100 bytes"):
        read(zipped({"a.parquet": TABLE.getvalue()}))
