"""Whole numbers that were written as floats, and NaN where a number is missing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from preferences.fields import bool_of, int_of, label_of
from preferences.formats.recognition import NumberedRecords
from preferences.quirks import NOT_A_NUMBER
from preferences.records import Record, RowError
from tests.field_cases import case
from tests.preferences.formats.containers.files import csv_text, parquet, read, reasons, records

ROW: dict[str, Any] = {"prompt": "Q", "responses": ["a", "b"]}


def lines(*rows: dict[str, Any]) -> bytes:
    return "\n".join(json.dumps({**ROW, **row}) for row in rows).encode()


@pytest.mark.parametrize("value", [-2, -2.0, "-2", "-2.0", " -2. ", "-2.000"])
def test_whole_float_is_read_as_an_integer(value: object) -> None:
    assert int_of(value, "strength", low=-5, high=5) == -2


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (2.5, "not 2.5"),
        ("2.5", "not '2.5'"),
        ("2e0", "not '2e0'"),
        ("two", "not 'two'"),
        (float("nan"), "not nan"),
        (1e300, "not 1e[+]300"),
        (True, "not True"),
        ([2], "not a list"),
    ],
)
def test_error_for_a_value_that_is_not_a_whole_number_shows_the_value(value: object, shown: str) -> None:
    with pytest.raises(RowError, match=f"^strength must be a whole number, {shown}$"):
        int_of(value, "strength", low=-5, high=5)


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, True), (0, False), ("1.0", True), ("0.0", False), (1, True)]
)
def test_booleans_written_as_numbers_are_read(value: object, expected: bool) -> None:
    assert bool_of(value, "all_bad") is expected


def test_error_for_a_number_that_is_not_a_boolean_shows_the_number() -> None:
    with pytest.raises(RowError, match=r"^all_bad must be true or false, not 2$"):
        bool_of(2, "all_bad")


@pytest.mark.parametrize(
    ("value", "label"), [(17, "17"), (17.0, "17"), ("17.0", "17.0"), (2.5, "2.5"), (None, ""), (-3.0, "-3")]
)
def test_number_given_as_a_label_is_converted_to_text(value: object, label: str) -> None:
    assert label_of(value, "annotator") == label


@pytest.mark.parametrize("value", [float("nan"), True])
def test_nan_and_booleans_are_not_valid_labels(value: object) -> None:
    with pytest.raises(RowError, match="annotator must be text"):
        label_of(value, "annotator")


def test_integers_written_as_floats_are_read_from_each_container() -> None:
    row = {"ranking": [2.0, 1.0], "strength": 2.0, "annotator": 17.0}
    table = {name: [value] for name, value in {**ROW, **row}.items()}
    cells = ("Q", '["a", "b"]', "[2.0, 1.0]", "2.0", "17")
    for data in (lines(row), parquet(**table), csv_text((*ROW, *row), cells).encode()):
        (record,) = records(data)
        assert record.ranking is not None
        assert record.ranking.tiers == ((1,), (0,))
        assert (record.ranking.strength, record.ranking.annotator) == (2, "17")


@pytest.mark.parametrize(
    ("cell", "annotator"), [("17.0", "17"), ("17", "17"), ("v1.0", "v1.0"), ("1.5", "1.5")]
)
def test_whole_float_in_a_csv_annotator_cell_becomes_an_integer(cell: str, annotator: str) -> None:
    header = ("prompt", "responses", "ranking", "annotator")
    (record,) = records(csv_text(header, ("Q", '["a", "b"]', "[2, 1]", cell)).encode())
    assert record.ranking is not None
    assert record.ranking.annotator == annotator


def test_tiers_written_as_floats_are_read() -> None:
    (record,) = records(lines({"tiers": [[1.0], [0.0]], "unranked": []}))
    assert record.ranking is not None
    assert record.ranking.tiers == ((1,), (0,))
    assert all(isinstance(index, int) for tier in record.ranking.tiers for index in tier)


def test_error_for_a_fractional_rank_or_index_shows_the_number() -> None:
    found = reasons(lines({"ranking": [1.5, 2.0]}, {"tiers": [[0.5], [1]]}))
    assert found == {
        1: "ranking.0 is 1.5; each response needs a rank number, and 1 is best",
        2: "tiers.0 refers to response 0.5; responses are numbered 0 to 1",
    }


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("array", [False, True])
def test_nan_in_metadata_is_treated_as_missing_and_reported(literal: str, array: bool) -> None:
    row = {**ROW, "ranking": [2, 1], "score": 0, "more": {"deep": [1, 0]}}
    good = json.dumps(row).encode()
    bad = good.replace(b'"score": 0', b'"score": ' + literal.encode()).replace(b"[1, 0]", b"[1, NaN]")
    data = b"[" + b",".join([good, bad, good]) + b"]" if array else b"\n".join([good, bad, good])
    found = records(data)
    assert [record.metadata for record in found] == [
        {"score": 0, "more": {"deep": [1, 0]}},
        {"more": {"deep": [1, None]}},
        {"score": 0, "more": {"deep": [1, 0]}},
    ]
    assert [record.quirks for record in found] == [(), (NOT_A_NUMBER,), ()]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"prompt": NaN, "responses": ["a", "b"]}', "prompt is missing (and there is no messages field)"),
        (b'{"prompt": "Q", "responses": ["a", NaN]}', "responses.1 must be text"),
        (b'{"prompt": "Q", "responses": ["a", "b"], "ranking": [1, NaN]}', "ranking.1 is None"),
        (
            b'{"prompt": "Q", "responses": ["a", "b"], "tiers": [[NaN], [0]]}',
            "tiers.0 refers to response None",
        ),
    ],
)
def test_error_for_nan_in_a_required_field_names_the_field(row: bytes, reason: str) -> None:
    found = reasons(lines({}) + b"\n" + row + b"\n" + lines({}))
    assert list(found) == [2]
    assert found[2].startswith(reason)
    assert found[2].endswith("(a NaN or Infinity in the row was treated as missing)")


def test_error_for_a_number_too_large_for_a_float_names_its_field() -> None:
    data = b'{"prompt": "Q", "responses": ["a", "b"], "more": {"size": 1e999}}'
    assert reasons(data) == {1: "metadata.more.size is inf, which JSON can't represent"}


def test_file_with_integers_written_as_floats_is_read() -> None:
    found: list[NumberedRecords] = read(case("22-float-promoted-ints") / "input.jsonl")
    assert [item.reason for item in found] == [""] * 6
    rankings = []
    for item in found:
        (record,) = item.records
        assert isinstance(record, Record)
        assert record.ranking is not None
        rankings.append((record.ranking.tiers, record.ranking.strength, record.ranking.annotator))
        assert record.metadata == {}
        assert record.quirks == ((NOT_A_NUMBER,) if item.line == 4 else ())
    assert rankings == [
        (((0,), (1,)), 2, ""),
        (((1,), (0,)), None, ""),
        (((1,), (0,)), None, "17"),
        (((1,), (0,)), None, ""),
        (((0,), (1,)), 2, ""),
        (((0,), (1,)), None, ""),
    ]
