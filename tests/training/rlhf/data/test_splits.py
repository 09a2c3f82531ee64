"""No prompt is in both parts of a split, and prompts and rankings that occur more than once are counted."""

from __future__ import annotations

import pytest

from training.rlhf.data.rankings import Ranking, count_repeats, count_shared_prompts, split_by_prompt

MESSAGES = ({"role": "user", "content": "Where is my parcel?"},)


def ranking(number: int, *, split: str = "train") -> Ranking:
    message = ({"role": "user", "content": f"question {number // 2}"},)  # every prompt occurs twice
    return Ranking(message, ("a", "b"), ((0,), (1,)), split=split)


def test_split_is_stable_and_never_puts_a_prompt_in_both_parts() -> None:
    rankings = [ranking(number) for number in range(400)]
    train, heldout = split_by_prompt(rankings, heldout_fraction=0.2)
    assert len(train) + len(heldout) == 400
    assert 50 < len(heldout) < 110
    assert not {r.prompt_hash for r in train} & {r.prompt_hash for r in heldout}
    again = split_by_prompt(list(reversed(rankings)), heldout_fraction=0.2)[1]
    assert {r.prompt_hash for r in again} == {r.prompt_hash for r in heldout}


def test_split_named_in_the_rows_is_kept() -> None:
    rankings = [ranking(number, split="heldout" if number == 6 else "train") for number in range(40)]
    _, heldout = split_by_prompt(rankings, heldout_fraction=0.5)
    assert [r.messages[0]["content"] for r in heldout] == ["question 3", "question 3"]


@pytest.mark.parametrize("carried", [True, False])
def test_prompts_that_differ_only_in_whitespace_share_a_split(carried: bool) -> None:
    def asked(number: int, text: str) -> Ranking:
        split = "heldout" if carried and number == 0 and text.endswith("\n") else "train"
        return Ranking(({"role": "user", "content": text},), ("a", "b"), ((0,), (1,)), split=split)

    rankings = [asked(n, text) for n in range(30) for text in (f"Where  is {n}? ", f"Where is {n}?\n")]
    train, heldout = split_by_prompt(rankings, heldout_fraction=0.3)
    sides = [{" ".join(r.messages[0]["content"].split()) for r in side} for side in (train, heldout)]
    assert all(sides)
    assert not sides[0] & sides[1]
    assert len(train) + len(heldout) == len(rankings)
    if carried:
        assert sides[1] == {"Where is 0?"}


def test_prompts_in_both_parts_of_an_external_split_are_counted() -> None:
    def asked(*texts: str) -> list[Ranking]:
        return [Ranking(({"role": "user", "content": text},), ("a", "b"), ((0,), (1,))) for text in texts]

    learn = asked("Where is it?", "Where is it?", "When?")
    assert count_shared_prompts(learn, asked("Where  is it? ", "Where is\nit?", "Why?")) == 1
    assert count_shared_prompts(learn, asked("Why?")) == count_shared_prompts(learn, []) == 0


def test_duplicate_and_contradictory_rankings_are_counted() -> None:
    def said(tiers: tuple[tuple[int, ...], ...], annotator: str = "a", texts: str = "xyz") -> Ranking:
        return Ranking(MESSAGES, tuple(texts), tiers, annotator=annotator)

    first = said(((0,), (1,), (2,)))
    assert count_repeats([first]) == {"duplicates": 0, "contradicted_pairs": 0}
    turned = said(((2,), (1,), (0,)), texts="zyx")  # the same ranking with responses in a different order
    other = said(((0,), (1,), (2,)), annotator="b")  # another annotator's ranking is not a duplicate
    assert count_repeats([first, turned, other]) == {"duplicates": 1, "contradicted_pairs": 0}
    against = said(((1,), (0,), (2,)), annotator="b")  # y ranks above x, but both still rank above z
    assert count_repeats([first, against, against]) == {"duplicates": 1, "contradicted_pairs": 1}
    tied = said(((0, 1), (2,)))
    assert count_repeats([first, tied]) == {"duplicates": 0, "contradicted_pairs": 0}
