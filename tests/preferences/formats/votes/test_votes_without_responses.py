"""A file with votes, but without known responses, is never imported as prompts or demonstrations."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from preferences.formats.recognition import read_records
from preferences.records import Record
from tests.preferences.formats.votes.tables import CAT, DOG, orders, records_of, refusal

ASKED = {"prompt": "Best pet?"}


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("winner", ["A", "tie"]),
        ("verdict", ["model_a", "model_b"]),
        ("preferred_response", ["response_1", "response_2"]),
        ("Urteil", ["B"]),
        ("winner", [1, 2]),
        ("winner", ["1", "2.0"]),
        ("preference", [0, 1]),
        ("ranking", ["B>A>C", "A=B>C"]),
        ("ranking", ["2,1,3"]),
        ("order", ["C > A > B"]),
    ],
)
def test_vote_beside_a_prompt_alone_is_refused(column: str, cells: list[str]) -> None:
    message = refusal(*({**ASKED, column: cell} for cell in cells))
    assert f"look like votes, but no responses were found: {column}." in message


@pytest.mark.parametrize(
    ("best", "worst"),
    [
        ("better", "worse"),
        ("best", "worst"),
        ("preferred", "dispreferred"),
        ("winner", "loser"),
        ("good", "bad"),
        ("positive", "negative"),
    ],
)
@pytest.mark.parametrize("texts", [("Cat, of course.", "Dog"), ("GPT 4", "Claude 3"), ("Yes", "12th")])
def test_pair_in_columns_that_can_contain_names_is_refused(
    best: str, worst: str, texts: tuple[str, str]
) -> None:
    message = refusal({**ASKED, best: texts[0], worst: texts[1]})
    assert message.startswith(
        f"The columns {best} and {worst} could contain the better and the worse response."
    )
    assert "rename them to chosen and rejected" in message


@pytest.mark.parametrize(
    ("best", "worst"),
    [
        ("good_response", "bad_response"),
        ("positive_answer", "negative_answer"),
        ("best_output", "worst_output"),
        ("preferred_completion", "unpreferred_completion"),
    ],
)
def test_pair_in_columns_named_after_responses_is_read(best: str, worst: str) -> None:
    assert orders({**ASKED, best: "Cat", worst: "Dog"}) == [CAT]
    assert orders({**ASKED, worst: "Cat", best: "Dog"}) == [DOG]


@pytest.mark.parametrize(
    ("best", "worst"), [("preferred_response", "dispreferred_response"), ("winner_answer", "loser_answer")]
)
def test_pair_of_numbers_is_read(best: str, worst: str) -> None:
    assert orders({"prompt": "2 + 2?", best: "4", worst: "5"}) == [[["4"], ["5"]]]
    message = refusal({"prompt": "2 + 2?", "better": "4", "worse": "5"})
    assert message.startswith("The columns better and worse could contain")


@pytest.mark.parametrize("order", ["B>A", ["B", "A"], ["Dog", "Cat"]])
def test_ranking_of_columns_with_one_letter_names_is_not_dropped(order: str | list[str]) -> None:
    row = {**ASKED, "a": "Cat", "b": "Dog", "c": "Cow", "ranking": order}
    assert "ranking (" in refusal(row, {**row, "prompt": "Worst pet?"})


def test_late_vote_beside_a_prompt_is_rejected() -> None:
    rows = [*[{**ASKED, "topic": "pets"}] * 55, {**ASKED, "ranking": "B>A"}]
    *before, last = read_records(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))[1]
    assert [line.reason for line in before] == [""] * 55
    assert last.records == ()
    assert "ranking looks like a vote, but the first rows of the file have no vote" in last.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"choice": "A"},  # the correct answer to a test question
        {"position": "A", "order": "ascending", "place": "Paris, London"},
        {"positive": 0.25, "negative": 0.75},
        {"positive": "0.25", "negative": "0.75"},
        {"preference": "short answers"},
        {"best": "GPT 4"},
        {"winner_name": "A"},
        {"vote": 3},
        {"preference": 70},
    ],
)
def test_fields_of_prompts_that_are_not_votes_become_metadata(fields: dict[str, Any]) -> None:
    (record,) = records_of([{**ASKED, **fields}])
    assert isinstance(record, Record)
    assert (record.responses, record.rankings, record.metadata) == ((), (), fields)
