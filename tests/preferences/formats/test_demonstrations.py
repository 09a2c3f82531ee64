"""Public files for fine-tuning, with one answer per prompt, are read as demonstrations."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest

from preferences.formats.recognition import read_records
from preferences.records import DEMONSTRATION, FormatError, Record

USER = {"role": "user", "content": "Name a colour."}
ANSWER = {"role": "assistant", "content": "Blue."}
SYSTEM = {"role": "system", "content": "Be brief."}
ALPACA = {"instruction": "Name a colour.", "input": "", "output": "Blue."}
SHAREGPT = [{"from": "human", "value": "Name a colour."}, {"from": "gpt", "value": "Blue."}]


def read(row: dict[str, Any], format: str | None = None) -> tuple[str, list[Any]]:
    """The file's format, and the records of its only row or the reason why the row is refused."""
    found, rows = read_records(BytesIO(json.dumps(row).encode()), format)
    (one,) = rows
    return found.name, [one.reason] if one.reason else list(one.records)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(ALPACA, id="Alpaca"),
        pytest.param({"prompt": "Name a colour.", "completion": "Blue."}, id="prompt and completion"),
        pytest.param({"prompt": [USER], "completion": [ANSWER]}, id="TRL, conversational"),
        pytest.param({"messages": [USER, ANSWER]}, id="messages"),
        pytest.param({"conversations": SHAREGPT}, id="ShareGPT"),
        pytest.param(
            {
                "prompt": "Name a colour.",
                "prompt_id": "7f",
                "messages": [USER, ANSWER],
                "category": "Open QA",
            },
            id="no_robots",
        ),
    ],
)
def test_public_schemas_of_demonstrations_are_recognised(row: dict[str, Any]) -> None:
    format, (record,) = read(row)
    assert format == "demonstrations"
    assert isinstance(record, Record)
    assert record.messages == (USER,)
    assert [(one.text, one.model) for one in record.responses] == [("Blue.", DEMONSTRATION)]
    assert (record.rankings, record.rankable) == ((), False)


def test_earlier_turns_and_the_system_prompt_belong_to_the_prompt() -> None:
    turns = [USER, ANSWER, {"role": "user", "content": "Another one."}]
    _, (record,) = read(
        {"system": "Be brief.", "messages": [*turns, {"role": "assistant", "content": "Red."}]}
    )
    assert record.messages == (SYSTEM, *turns)
    assert record.responses[0].text == "Red."
    _, (record,) = read({**ALPACA, "input": "As one word.", "history": [["Hi", "Hello"]], "source": "x"})
    assert [turn["content"] for turn in record.messages] == ["Hi", "Hello", "Name a colour.\n\nAs one word."]
    assert record.metadata == {"source": "x"}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"prompt": "Q", "completion": "A", "label": True}, id="TRL's unpaired preferences"),
        pytest.param({"prompt": "Q", "response": "A", "helpfulness": 3}, id="rated responses"),
        pytest.param({"prompt": "Q", "completion": "A", "score": 0.5}, id="scored completions"),
        pytest.param({"prompt": "Q", "response": "A"}, id="an answer of unknown origin"),
        pytest.param({"prompt": "Q", "chosen": "A", "rejected": "B"}, id="a pair"),
        pytest.param({"prompt": "Q", "completion": "A", "score": "4"}, id="scores in CSV"),
        pytest.param({**ALPACA, "orig_response": "Red.", "orig_score": "4"}, id="Feedback-Collection"),
        pytest.param({"messages": [USER]}, id="a prompt"),
        pytest.param({"messages": [USER, ANSWER], "label": True}, id="a labelled conversation"),
    ],
)
def test_rows_that_may_contain_votes_or_model_answers_are_not_demonstrations(row: dict[str, Any]) -> None:
    try:
        format, _ = read(row)
    except FormatError:
        return
    assert format != "demonstrations"


def test_answers_of_unknown_origin_are_read_if_the_format_is_specified() -> None:
    _, (record,) = read({"question": "Name a colour.", "answer": "Blue."}, "demonstrations")
    assert (record.messages, record.responses[0].text) == ((USER,), "Blue.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Q"}, "there is no answer"),
        ({"prompt": "Q", "completion": "  "}, "the answer is empty"),
        ({"prompt": "Q", "completion": [USER]}, "completion must be text or one assistant turn"),
        ({"prompt": "Q", "responses": ["a", "b"]}, "a demonstration has one answer"),
        ({"messages": [ANSWER, ANSWER]}, "ends with an assistant turn"),
    ],
)
def test_unusable_row_is_refused_with_its_reason(row: dict[str, Any], reason: str) -> None:
    _, (found,) = read(row, "demonstrations")
    assert reason in found
