"""CSV cells in which pandas or NumPy wrote a list or a dictionary as Python code."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pytest

from preferences.fields import list_of, object_of
from preferences.formats.dialogues import decoded_turns
from preferences.literals import literal_of
from preferences.records import RowError
from tests.field_cases import case
from tests.preferences.formats.containers.files import comparisons, csv_text, reasons, records

TURNS = [
    {"content": "What's 9*9?", "role": "user"},
    {"content": 'It\'s "81".\n\t\\ é 😀\x07', "role": "assistant"},
]
OTHER = [TURNS[0], {"content": "18", "role": "assistant"}]
VALUES: list[Any] = [
    [],
    {},
    [1, -2, 2.5, 1e-7, True, False, None],
    {"a": [1, [2, {"b": None}]], "c": "it's", "d": 'say "x"', "e": "'\""},
    {1: "x", 2.5: "y"},
    ["a, b", "]", "}", "{'", "\\'", "\\", "\n", "\x00", "\x85", "\U0001f600"],
    TURNS,
]


@pytest.mark.parametrize("value", VALUES)
def test_lists_and_dictionaries_written_as_python_code_are_decoded(value: Any) -> None:
    expected = {str(key): inner for key, inner in value.items()} if isinstance(value, dict) else value
    assert literal_of(repr(value)) == expected
    assert literal_of(f" {value!a}\n") == expected


def test_tuples_become_lists_and_nan_and_infinity_and_nat_become_none() -> None:
    assert literal_of("(1, (2,), nan, inf, -inf, np.nan, NaT)") == [1, [2], None, None, None, None, None]


@pytest.mark.parametrize(
    "array",
    [
        np.array(TURNS, dtype=object),
        np.array(["good one", "it's bad"], dtype=object),
        np.array([0, 1]),
        np.array([[1.0, 2.5], [-3.0, 4.0]]),
        np.array([True, False]),
        np.array([], dtype=object),
    ],
)
def test_arrays_printed_by_numpy_are_decoded(array: Any) -> None:
    assert literal_of(str(array)) == array.tolist()
    assert literal_of(repr(array)) == array.tolist()
    assert literal_of(repr([array, array])) == [array.tolist()] * 2


def test_numpy_scalars_and_prefixed_strings_are_decoded() -> None:
    assert literal_of("[np.float64(1.5), np.int64(3), np.str_('x'), np.True_]") == [1.5, 3, "x", True]
    assert literal_of("[b'caf\\xc3\\xa9', u'x']") == ["café", "x"]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[1",
        "['a",
        "{'a'}",
        "{'a': 1",
        "{'a': 1 'b': 2}",
        "{[]: 1}",
        "[1] 2",
        "[...]",
        "[1 2 ... 8 9]",
        "[__import__('os')]",
        "[print(1)]",
        "[1 + 1]",
        "[x for x in y]",
        "['\\ud83d' + 'a']",
        "array(",
        "array([1], dtype",
        "[b'\\xff']",
        "['\\UFFFFFFFF']",
        "[" * 100_000,
        repr([datetime.datetime(2025, 1, 1)]),
    ],
)
def test_other_python_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        literal_of(text)
    with pytest.raises(
        RowError, match=r"^responses is (not valid JSON|neither valid JSON nor a Python list)"
    ):
        list_of(text, "responses")


@pytest.mark.parametrize("text", ["[" + "9" * 500 + "]", "[" * 60 + "]" * 60])
def test_long_numbers_and_deep_nesting_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"too long|nested deeper"):
        literal_of(text)


def test_cells_are_decoded_where_a_list_or_an_object_is_expected() -> None:
    assert list_of("['a' 'b']", "responses") == ["a", "b"]
    assert object_of("{'help': 2, 'note': None}", "ratings") == {"help": 2}
    assert list_of('["a", "b"]', "responses") == ["a", "b"]


@pytest.mark.parametrize("text", ["['a', 'b']", "[{'a': 1}]", '[{"a": 1}]', "Use [{'role': …"])
def test_text_that_contains_a_list_stays_text(text: str) -> None:
    assert decoded_turns(text, "chosen") == text
    assert comparisons(csv_text(("prompt", "chosen", "rejected"), ("Q", text, "b")).encode()) == [
        ("Q", text, "b")
    ]


@pytest.mark.parametrize(
    "shown", [repr, lambda turns: str(np.array(turns)), lambda turns: repr(np.array(turns))]
)
def test_conversations_in_cells_are_read(shown: Any) -> None:
    data = csv_text(("", "chosen", "rejected"), ("0", shown(TURNS), shown(OTHER))).encode()
    assert comparisons(data) == [("What's 9*9?", TURNS[1]["content"], "18")]
    assert records(data)[0].metadata == {}


def test_error_for_a_cell_that_cannot_be_decoded_names_its_column() -> None:
    rows = (("chosen", "rejected"), (repr(TURNS), repr(OTHER)), (repr(TURNS)[:-9], repr(OTHER)))
    found = reasons(csv_text(*rows).encode())
    reason = (
        "chosen is neither valid JSON nor a Python list or dictionary: the string that starts at character 94"
        " is not closed"
    )
    assert found == {3: reason}


def test_native_rows_with_python_lists_are_read() -> None:
    header = ("prompt", "responses", "ranking", "ratings")
    data = csv_text(header, ("Q", "['a' 'b']", "[2. 1.]", "{'0': {'help': 3}}")).encode()
    (record,) = records(data)
    assert [response.text for response in record.responses] == ["a", "b"]
    assert record.ranking is not None
    assert record.ranking.tiers == ((1,), (0,))
    assert record.ranking.ratings == {0: {"help": 3}}


def test_conversations_in_a_pandas_csv_are_read() -> None:
    found = records(case("13-pandas-repr-csv") / "input.csv")
    assert [record.messages for record in found] == [
        ({"role": "user", "content": "Is 7 prime?"},),
        ({"role": "user", "content": "What's 9*9?"},),
    ]
    assert comparisons(case("13-pandas-repr-csv") / "input.csv") == [
        ("Is 7 prime?", "Yes.", "No."),
        ("What's 9*9?", "It's 81.", "18"),
    ]
    assert [record.metadata for record in found] == [{}, {}]
