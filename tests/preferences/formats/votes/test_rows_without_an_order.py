"""In a row without an order, a field is part of a ranking only if its value can be read as that part.
Otherwise, the field is kept as metadata. A row with an order is refused if a field such as `ratings` or
`strength` has an invalid value."""

from __future__ import annotations

from typing import Any

import pytest

from preferences.formats.readers.native import parse
from preferences.records import Record, RowError

ANSWERS = [{"text": "Cat", "model": "m1"}, {"text": "Dog", "model": "m2"}]


def read(**fields: Any) -> Record:
    (record,) = parse({"prompt": "Best pet?", "responses": ANSWERS, **fields})
    assert isinstance(record, Record)
    return record


@pytest.mark.parametrize(
    "fields",
    [
        {"ratings": {"helpfulness": 4}},
        {"flags": {"toxic": False}},
        {"ratings": "{oops"},
        {"choices": "{A, B}"},
        {"choices": ["A", "B"]},
        {"confidence": 100_000},
        {"confidence": 0.7},
        {"comment": {"by": "kim"}},
        {"strength": "much better"},
        {"duration_ms": "9 s"},
        {"annotator": {"id": 7}},
        {"given_at": "last week"},
        {"weight": "3 kg"},
        {"votes": 0},
        {"not_rankable": "false", "ratings": {"tone": 1}},
        {"tiers": [], "all_bad": 0, "flags": {"2": ["rude"]}},
    ],
)
def test_fields_that_are_not_part_of_a_ranking_are_kept_as_metadata(fields: dict[str, Any]) -> None:
    record = read(**fields)
    assert (record.rankings, record.quirks) == ((), ())
    orders = {"tiers", "all_bad", "not_rankable"}
    assert record.metadata == {name: value for name, value in fields.items() if name not in orders}


def test_other_fields_of_the_row_still_form_a_ranking_without_an_order() -> None:
    record = read(ratings={"helpfulness": 4}, comment="Rude.", annotator="kim", given_at="last week")
    (ranking,) = record.rankings
    assert (ranking.has_order, ranking.comment, ranking.annotator, ranking.ratings) == (
        False,
        "Rude.",
        "kim",
        {},
    )
    assert record.metadata == {"ratings": {"helpfulness": 4}, "given_at": "last week"}
    assert [quirk.name for quirk in record.quirks] == ["no-order", "time-not-understood"]


def test_ratings_can_refer_to_responses_by_a_unique_model_or_by_index() -> None:
    assert read(ratings={"m1": 4, "m2": 1}).rankings[0].ratings == {0: 4, 1: 1}
    same = [{"text": "Cat", "model": "m"}, {"text": "Dog", "model": "m"}]
    assert read(responses=same, ratings={"m": 4}).metadata == {"ratings": {"m": 4}}
    numbered = [{"text": "Cat", "model": "1"}, {"text": "Dog", "model": "0"}]
    assert read(responses=numbered, ratings={"0": 4}).rankings[0].ratings == {0: 4}


def test_values_given_under_two_names_of_a_response_must_be_equal() -> None:
    assert read(ratings={"0": 4, "m1": 4}).rankings[0].ratings == {0: 4}
    assert read(ratings={"0": 4, "m1": 3}).metadata == {"ratings": {"0": 4, "m1": 3}}


def test_row_keeps_its_comment_and_its_preference_statement() -> None:
    record = read(comment="Rude.", preference_statement="The first is kinder.")
    assert record.rankings[0].comment == "Rude."
    assert record.metadata == {"preference_statement": "The first is kinder."}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ratings": {"helpfulness": 4}}, "ratings refers to response 'helpfulness'"),
        ({"confidence": 100_000}, "confidence is 100000"),
        ({"choices": "{A, B}"}, "choices is"),
        ({"strength": "much better"}, "strength must be a whole number"),
    ],
)
def test_row_with_an_order_is_refused_if_a_field_is_invalid(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        read(tiers=[[0], [1]], **fields)


def test_unreadable_time_of_a_row_with_an_order_is_kept_as_metadata() -> None:
    record = read(tiers=[[0], [1]], given_at="last week")
    assert record.metadata == {"given_at": "last week"}
    assert [quirk.name for quirk in record.quirks] == ["time-not-understood"]
