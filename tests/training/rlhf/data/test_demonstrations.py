"""Demonstrations that can't be used are left out and counted, and held-out prompts are never trained on."""

from __future__ import annotations

import pytest

from tests.training.rlhf import tiny
from tests.training.rlhf.tiny import words
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.demonstrations import Row, encode, split_by_prompt
from training.rlhf.models.tokens import chat

ONE_TURN_ONLY = (
    "{% if messages | length > 1 %}{{ raise_exception('only one turn') }}{% endif %}"
    "user : {{ messages[0]['content'] }} assistant :"
)


def asked(text: str, response: str = "w1") -> Demonstration:
    return Demonstration([{"role": "user", "content": text}], response)


def test_demonstrations_that_are_left_out_are_counted_by_reason() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = ONE_TURN_ONLY
    two_turns = [{"role": "user", "content": "w1"}, {"role": "assistant", "content": "w2"}]
    found = encode(
        [
            asked("w1 w2", "w3"),
            Demonstration(two_turns, "w3"),
            Demonstration([], "w3"),
            asked(" ", "w3"),
            asked("<bos>", "w3"),
            asked("w1", " \n"),
            asked("w1", "<eos>"),
            asked("w1", words(*range(12))),
            asked("w1  w2", "w3"),
            asked("w1 w2", "w3<eos>"),
            asked("w1 w2", "w4"),
            asked(words(*range(12)), "w4"),
        ],
        tokenizer,
        max_length=12,
    )
    assert found.left_out == {"refused_by_template": 1, "empty": 5, "response_too_long": 1, "repeated": 2}
    assert [chat.decode(tokenizer, row.response) for row in found.rows] == ["w3", "w4", "w4"]
    assert [prompt[0]["content"] for prompt in found.first_prompts(2)] == ["w1 w2", words(*range(12))]
    assert len(found.first_prompts(9)) == 2
    assert (found.prompts_cut, found.rows[-1].length) == (1, 12)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ([], FailureKind.DATA_EMPTY),
        ([asked("w1", "")], FailureKind.DATA_EMPTY),
        ([asked("w1", words(*range(12)))], FailureKind.TEXTS_TOO_LONG),
    ],
)
def test_run_without_usable_demonstrations_reports_how_many_were_given(
    given: list[Demonstration], kind: FailureKind
) -> None:
    with pytest.raises(UnusableInput, match=rf"no demonstrations to train on: {len(given)} given") as raised:
        encode(given, tiny.tokenizer(), max_length=12)
    assert raised.value.kind == kind


def test_all_demonstrations_of_a_prompt_are_in_the_same_split() -> None:
    given = [
        asked(f"w{n}{space}w{n}", f"w{answer}")
        for answer in range(4)
        for n in range(40)
        for space in (" ", "  ")
    ]
    rows = encode(given, tiny.tokenizer(), 64).rows
    learned, heldout = split_by_prompt(rows, 0.25)
    assert len(learned) + len(heldout) == len(rows) == 160
    assert 4 <= len(heldout) <= 80
    assert not {tuple(row.prompt) for row in learned} & {tuple(row.prompt) for row in heldout}
    more = encode([*given, *(asked(f"w{n}", "w9") for n in range(40))], tiny.tokenizer(), 64).rows
    assert {row.prompt_key for row in heldout} <= {row.prompt_key for row in split_by_prompt(more, 0.25)[1]}


def test_rows_without_a_key_are_split_by_their_prompt_tokens() -> None:
    rows = [Row([2, n], [answer, 1]) for n in range(40) for answer in (5, 6)]
    learned, heldout = split_by_prompt(rows, 0.25)
    assert heldout
    assert not {tuple(row.prompt) for row in learned} & {tuple(row.prompt) for row in heldout}
    assert split_by_prompt(heldout, 0.25) == (heldout, [])
    assert split_by_prompt(rows, 0.0) == (rows, [])
