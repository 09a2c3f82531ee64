"""Any sequence of bytes is either read as a file or rejected with a reason. The reader raises no unexpected
exception."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import struct
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import fault_of, inputs
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.recognition import read_records
from preferences.records import FormatError

ROW = {"prompt": "Say hello.", "responses": ["Hello!", "Hi."], "tiers": [[1], [0]]}
BOUNDED = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def outcome(data: bytes, format: str | None = None) -> list[str]:
    """The reason for rejecting each line ("" if the line is read), or the error for the whole file."""
    try:
        found = list(read_records(io.BytesIO(data), format)[1])
    except FormatError as error:
        return [str(error)]
    assert all(bool(item.records) != bool(item.reason) for item in found)
    return [item.reason for item in found]


def table(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def gzip_made_at(seconds: int, data: bytes) -> bytes:
    """A gzip file whose header contains `seconds` as four little-endian bytes."""
    packed = gzip.compress(data, mtime=seconds)
    assert packed[4:8] == struct.pack("<I", seconds)
    return packed


def zipped(**files: bytes) -> bytes:
    """A zip archive of files. An underscore in a keyword argument's name stands for the dot in the file
    name."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return stream.getvalue()


JSONL = b"\n".join([json.dumps(ROW).encode()] * 3)
FILES = {
    "jsonl": JSONL,
    "array": b"[" + JSONL.replace(b"\n", b",") + b"]",
    "csv": b'prompt,response_1,response_2,tiers\r\nQ,a,"b ""c""","[[1], [0]]"\r\nQ,d,e,\r\n',
    "gzip": gzip_made_at(0, JSONL),
    "zip": zipped(a_jsonl=JSONL, b_csv=b"prompt,response_1,response_2\nQ,a,b\n"),
    "parquet": table(prompt=["Q", "R"], responses=[["a", "b"], ["c", "d"]], tiers=[[[0], [1]]] * 2),
}


@pytest.mark.parametrize("byte", range(4))
def test_carriage_return_in_an_inner_gzip_header_is_refused_with_a_reason(byte: int) -> None:
    inner = gzip_made_at(0x0D << 8 * byte | 0x01, JSONL)
    (reason,) = outcome(gzip.compress(inner))
    assert "This is a gzip file in a gzip file." in reason


def test_csv_header_with_a_stray_carriage_return_is_refused_with_a_reason() -> None:
    (reason,) = outcome(b"prompt,response_1\r,response_2\nQ,a,b\n")
    assert "the fields prompt, response_1" in reason


def test_bare_carriage_return_in_a_csv_row_affects_only_that_row() -> None:
    reasons = outcome(b"prompt,response_1,response_2\nQ,a,b\nQ,a\rc,b\nQ,d,e\n")
    assert [bool(reason) for reason in reasons] == [False, True, False]


def test_broken_csv_header_is_refused() -> None:
    (reason,) = outcome(b'prompt,"response"1\nQ,a\n')
    assert "The CSV header is not valid" in reason


def test_blank_lines_before_a_csv_header_are_skipped() -> None:
    assert outcome(b"\n\r\nprompt,response_1,response_2\nQ,a,b\n") == [""]


@pytest.mark.parametrize(
    "data", [b"\x00", b"prompt\x00,a\n1,2", b"\xff\xfep\x00r\x00", b"\x1f\x8b", b"PAR1PAR1"]
)
def test_binary_data_is_refused(data: bytes) -> None:
    assert all(outcome(data))


@given(st.binary(max_size=200))
@BOUNDED
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    outcome(data)


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_read_or_refused(kind: str) -> None:
    whole = FILES[kind]

    @given(st.integers(0, len(whole)), st.integers(0, 8), st.binary(max_size=8))
    @BOUNDED
    def damaged(place: int, length: int, put: bytes) -> None:
        outcome(whole[:place] + put + whole[place + length :])

    damaged()


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from spots(inner, (*path, key))


def with_value(value: Any, path: tuple[Any, ...], put: Any) -> Any:
    if not path:
        return put
    changed = value.copy()
    changed[path[0]] = with_value(value[path[0]], path[1:], put)
    return changed


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.sampled_from(["", "1e999", "[", "[[0]]", "\x00", "\ud800", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("name", IMPORT_FORMATS)
def test_rows_with_any_value_in_any_field_are_read_or_refused(name: str) -> None:
    example = json.loads(IMPORT_FORMATS[name].example)

    @given(st.sampled_from([path for path in spots(example) if path]), ANY_JSON)
    @BOUNDED
    def changed(path: tuple[Any, ...], put: Any) -> None:
        row = json.dumps(with_value(example, path, put)).encode()
        outcome(row, name)
        outcome(row)

    changed()


MUTATED_INPUTS = 2500  # takes a few seconds; benchmarks.fuzz tries more inputs


def test_mutated_files_of_every_format_are_read_or_refused() -> None:
    for number, tried in enumerate(itertools.islice(inputs(seed=1), MUTATED_INPUTS)):
        assert not (fault := fault_of(tried)), f"input {number}: {tried}\n{fault}"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"annotator": 10**4000}, "annotator has 4,001 characters"),
        ({"strength": 10**4000}, "strength is 1000"),
        ({"ranking_id": "r", "ranking_metadata": {"a": "\x00"}}, "the ranking's metadata.a contains a NUL"),
        ({"ranking_id": "r", "prompt_metadata": {"a\ud800": 1}}, "metadata contains a lone surrogate"),
        ({"messages": [{"role": "user", "content": " "}], "prompt": None}, "contains no text"),
    ],
)
def test_value_that_cannot_be_stored_is_refused(row: dict[str, Any], reason: str) -> None:
    (found,) = outcome(json.dumps({**ROW, **row}).encode())
    assert reason in found


def test_field_names_in_reasons_are_printable() -> None:
    rows = b'{"data": {"prompt\\u0000": "Q", "answer\\udcff": "a"}, "annotations": []}'
    (reason,) = outcome(rows, "label-studio")
    assert r"prompt\x00, answer\udcff" in reason
    (reason,) = outcome(b'{"field\\udcff": 1}')
    assert r"has the fields field\udcff" in reason


def test_format_is_recognised_even_if_the_first_row_is_broken() -> None:
    broken = {"data": {"prompt": "Q", "answer1": "\x00", "answer2": "b"}, "annotations": [{"result": []}]}
    good = {**broken, "data": {"prompt": "Q", "answer1": "a", "answer2": "b"}}
    broken_reason, good_reason = outcome(json.dumps(broken).encode() + b"\n" + json.dumps(good).encode())
    assert "data.answer1 contains a NUL" in broken_reason
    assert good_reason == ""


def test_archive_entry_without_a_name_is_ignored() -> None:
    data = zipped(a_jsonl=JSONL, b=b"x")
    unnamed = data.replace(b"b", b"\x00")
    assert outcome(unnamed) == ["", "", ""]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2], pa.timestamp("us", tz="Nowhere/Nothing")),
        pa.array([2**52, 1], pa.timestamp("ms")),
        pa.array([2**31 - 1, 0], pa.date32()),
        pa.array([1, 2], pa.time64("ns")),
        pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int32())),
        pa.array([b"\xff", b"a"]),
        pa.array([1, 2], pa.duration("ns")),
    ],
)
def test_unusual_parquet_columns_are_read_or_refused(column: pa.Array) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = table(prompt=["Q", "R"], responses=[["a", "b"]] * 2, extra=column)
        assert len(outcome(data, "rankloop")) == 2


def test_parquet_with_repeated_column_names_is_read_or_refused() -> None:
    stream = io.BytesIO()
    columns = pa.Table.from_arrays([pa.array(["Q"]), pa.array(["R"])], names=["prompt", "prompt"])
    pq.write_table(columns, stream)
    assert outcome(stream.getvalue(), "prompts")
