"""If a file is truncated or damaged, the rows before the damage are read, and the error is reported."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
import zlib

import pytest

from preferences.records import FormatError
from tests.field_cases import case
from tests.preferences.formats.containers.files import comparisons, csv_text, good_comparisons, read, reasons

ROWS = [(f"q{n}", f"good {n}", f"bad {n}") for n in range(6)]
HEADER = ("prompt", "chosen", "rejected")
JSONL = "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in ROWS).encode()
ARRAY = b"[" + JSONL.strip().replace(b"\n", b",") + b"]"
CSV = "".join(",".join(row) + "\n" for row in (HEADER, *ROWS)).encode()
BREAK = "the gzip data is truncated or damaged here (Compressed file ended before the end-of-stream marker"


def flushed(data: bytes, keep: int) -> bytes:
    """A truncated gzip file from which exactly the first `keep` bytes of `data` can be decompressed."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(data[:keep]) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("data", [JSONL, ARRAY, CSV])
def test_gzip_file_with_several_members_is_read_to_its_end(data: bytes) -> None:
    parts = data[:70], data[70:71], b"", data[71:]
    assert comparisons(b"".join(map(gzip.compress, parts))) == ROWS


def test_zeros_after_gzip_data_are_ignored_as_padding() -> None:
    assert comparisons(gzip.compress(JSONL) + bytes(512)) == ROWS


@pytest.mark.parametrize("data", [JSONL, ARRAY, CSV])
@pytest.mark.parametrize("rest", [b"garbage", b"\x1f", b"\n"])
def test_other_bytes_after_gzip_data_are_reported(data: bytes, rest: bytes) -> None:
    whole = gzip.compress(data) + rest
    assert good_comparisons(whole) == ROWS
    (reason,) = reasons(whole).values()
    assert "gzip data" in reason
    assert reason.endswith("; reading stopped")


@pytest.mark.parametrize("data", [JSONL, ARRAY, CSV])
@pytest.mark.parametrize("extra", [0, 1, 9])
def test_rows_before_the_truncated_row_of_a_gzip_file_are_read(data: bytes, extra: int) -> None:
    keep = data.index(b"q4") + extra
    found = good_comparisons(flushed(data, keep))
    assert found == ROWS[:4]
    (reason,) = reasons(flushed(data, keep)).values()
    assert reason.startswith(BREAK)


def test_complete_object_at_the_end_of_a_truncated_file_is_read() -> None:
    keep = JSONL.index(b"\n")
    assert good_comparisons(flushed(JSONL, keep)) == ROWS[:1]
    assert list(reasons(flushed(JSONL, keep))) == [2]


def test_csv_row_truncated_in_its_last_cell_is_not_read() -> None:
    keep = CSV.index(b"bad 2") + len(b"bad")
    assert good_comparisons(flushed(CSV, keep)) == ROWS[:2]
    assert list(reasons(flushed(CSV, keep))) == [4]


def test_csv_row_truncated_in_a_quoted_cell_is_not_read() -> None:
    data = csv_text(HEADER, *ROWS[:2], ("q", "two\nlines", "b")).encode()
    assert good_comparisons(flushed(data, data.index(b"lines"))) == ROWS[:2]
    assert len(reasons(flushed(data, data.index(b"lines")))) == 1


@pytest.mark.parametrize("size", [1, 20, 5000])
def test_all_rows_of_a_gzip_file_with_a_wrong_checksum_are_read(size: int) -> None:
    rows = [(f"q{n}", f"good {n}", f"bad {n}") for n in range(size)]
    packed = bytearray(gzip.compress(csv_text(HEADER, *rows).encode()))
    packed[-8] ^= 1
    assert good_comparisons(bytes(packed)) == rows
    (reason,) = reasons(bytes(packed)).values()
    assert "CRC check failed" in reason


def test_gzip_file_truncated_before_the_end_of_its_first_row_is_refused() -> None:
    with pytest.raises(FormatError, match="No row can be read: the gzip data is truncated"):
        reasons(gzip.compress(JSONL)[:15])


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


def test_only_incomplete_rows_of_a_truncated_gzip_in_an_archive_are_lost() -> None:
    data = zipped(a_jsonl_gz=flushed(JSONL, JSONL.index(b"q3") + 5), b_csv=CSV)
    assert good_comparisons(data) == ROWS[:3] + ROWS
    (reason,) = reasons(data).values()
    assert reason.startswith(BREAK)


@pytest.mark.parametrize("size", [1, 5000])
def test_all_rows_of_an_archived_file_with_a_wrong_checksum_are_read(size: int) -> None:
    rows = [(f"q{n}", f"good {n}", f"bad {n}") for n in range(size)]
    content = csv_text(HEADER, *rows).encode()
    data = zipped(a_csv=content, b_csv=CSV)
    right, wrong = (zlib.crc32(content) ^ mask for mask in (0, 1))
    data = data.replace(right.to_bytes(4, "little"), wrong.to_bytes(4, "little"))
    assert good_comparisons(data) == rows + ROWS
    (failed,) = (line for line in read(data) if line.reason)
    reason = "the zip archive is truncated or damaged (the checksum of a file is wrong); reading stopped"
    assert (failed.file, failed.reason) == ("a.csv", reason)


class Piped(io.BytesIO):
    """A stream that can't seek. In a zip archive written to such a stream, the size of each file follows its
    content."""

    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("stream", [io.BytesIO, Piped])
def test_complete_rows_of_a_truncated_archive_are_read(stream: type[io.BytesIO], method: int) -> None:
    rows = [(f"q{n}", f"good {n * 7919 % 10007}", f"bad {n * 104729 % 10007}") for n in range(3000)]
    packed = stream()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in (("a.csv", rows), ("README.md", []), ("b.csv", rows)):
            archive.writestr(name, csv_text(HEADER, *content))
    data = packed.getvalue()
    assert good_comparisons(data) == rows * 2
    directory = data.index(b"PK\x01\x02")
    for end in (len(data) - 5, directory + 10, directory):
        assert good_comparisons(data[:end]) == rows * 2
        (failed,) = (line for line in read(data[:end]) if line.reason)
        assert (failed.file, failed.line) == ("b.csv", 3002)
        assert failed.reason.startswith("the zip archive is truncated")
    second = data.index(b"b.csv")
    for first, end in ((True, second // 2), (False, (second + directory) // 2)):
        found = good_comparisons(data[:end])
        whole = [] if first else rows
        part = found[len(whole) :]
        assert found[: len(whole)] == whole
        assert 1000 < len(part) < 2000
        assert part == rows[: len(part)]
        (failed,) = (line for line in read(data[:end]) if line.reason)
        assert (failed.file, failed.line) == ("a.csv" if first else "b.csv", len(part) + 2)
        assert failed.reason.startswith("the zip archive is truncated or damaged here")


def test_archive_truncated_before_its_first_row_is_refused() -> None:
    data = zipped(a_jsonl=JSONL)
    with pytest.raises(FormatError, match="Check that the file is complete"):
        reasons(data[:20])
    with pytest.raises(FormatError, match="the zip archive is truncated"):
        reasons(data[: data.index(b"a.jsonl") + 12])


@pytest.mark.parametrize(("data", "keep"), [(JSONL, 4), (ARRAY, 4), (CSV, 4)])
def test_complete_rows_of_a_truncated_text_file_are_read(data: bytes, keep: int) -> None:
    cut = data[: data.index(b"q4") + 4]
    assert good_comparisons(cut) == ROWS[:keep]
    assert len(reasons(cut)) == 1


def test_cells_longer_than_the_default_limit_of_the_csv_module_are_read() -> None:
    long = "x" * 200_000
    assert comparisons(csv_text(HEADER, ("Q", long, "b")).encode()) == [("Q", long, "b")]
    assert csv.field_size_limit() > 200_000


@pytest.mark.parametrize("name", ["two.jsonl.gz", "trailing.jsonl.gz"])
def test_all_rows_of_a_gzip_file_with_several_members_are_read(name: str) -> None:
    assert comparisons(case("20-gzip-members") / name) == ROWS


def test_complete_rows_of_a_truncated_gzip_file_are_read() -> None:
    file = case("20-gzip-members") / "cut.jsonl.gz"
    assert good_comparisons(file) == ROWS[:4]
    assert list(reasons(file)) == [5]
    assert reasons(file)[5].startswith(BREAK)
