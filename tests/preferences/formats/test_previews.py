"""A preview reads only the beginning of a file."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from preferences.formats.preview import SHOWN_RECORDS, preview_of

ROW = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "winner": "A"}


@pytest.fixture(scope="module")
def lines() -> bytes:
    return b"".join(json.dumps(ROW | {"prompt": f"Question {n}?"}).encode() + b"\n" for n in range(200_000))


class Counted(io.BytesIO):
    """A file that counts the bytes read from it."""

    bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self.bytes_read += len(found)
        return found

    def readinto(self, buffer: bytearray, /) -> int:  # type: ignore[override]
        found = super().readinto(buffer)
        self.bytes_read += found
        return found


def test_preview_of_a_large_file_reads_only_its_beginning(lines: bytes) -> None:
    for content in (lines, gzip.compress(lines, compresslevel=1)):
        file = Counted(content)
        found = preview_of(file)
        assert (found.problem, len(found.records)) == ("", SHOWN_RECORDS)
        assert 0 < file.bytes_read < len(content) / 2


def test_preview_of_a_large_file_does_not_detect_a_fault_at_its_end(lines: bytes) -> None:
    found = preview_of(io.BytesIO(lines + b"{broken"))
    assert (found.problem, len(found.records)) == ("", SHOWN_RECORDS)


MAPPING = {"prompt": "prompt", "responses": "response_a,response_b", "vote": "winner"}
FAULTY = json.dumps(ROW | {"prompt": ""}).encode() + b"\n"


def test_preview_shows_the_first_records_after_many_faulty_rows(lines: bytes) -> None:
    found = preview_of(io.BytesIO(FAULTY * 300 + lines[:10_000]), mapping=MAPPING)
    assert found.problem == ""
    asked = [record.messages[0]["content"] for record in found.records]
    assert asked == ["Question 0?", "Question 1?", "Question 2?"]


def test_preview_of_a_large_file_of_faulty_rows_reads_only_its_beginning() -> None:
    file = Counted(FAULTY * 200_000)
    assert preview_of(file, mapping=MAPPING).records == ()
    assert 0 < file.bytes_read < len(file.getvalue()) / 2
