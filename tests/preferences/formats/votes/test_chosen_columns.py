"""Users can choose which columns of a table contain the prompt, the system turn, the responses, the vote and
the annotator. Users can also choose the vote's direction. Columns that are not chosen are inferred."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from preferences.formats.preview import preview_of
from preferences.formats.recognition import read_records
from preferences.records import FormatError, Record

SHEET = {
    "aufgabe": "Best pet?",
    "eins": "Cat",
    "zwei": "Dog",
    "urteil": "eins",
    "wer": "mia",
    "rolle": "Be kind.",
}
SCORED = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "score_a": 3, "score_b": 5}


def read(rows: list[dict[str, Any]], **mapping: str) -> list[Record]:
    name, lines = read_records(io.BytesIO("\n".join(map(json.dumps, rows)).encode()), mapping=mapping)
    assert name.name == "table"
    found = list(lines)
    assert [line.reason for line in found] == [""] * len(rows)
    return [record for line in found for record in line.records if isinstance(record, Record)]


def order(record: Record) -> list[list[str]]:
    (ranking,) = record.rankings
    return [[record.responses[index].text for index in tier] for tier in ranking.tiers]


def refusal(rows: list[dict[str, Any]], **mapping: str) -> str:
    with pytest.raises(FormatError) as error:
        read(rows, **mapping)
    return str(error.value)


def test_all_columns_can_be_chosen() -> None:
    (record,) = read(
        [SHEET], prompt="aufgabe", responses="eins, zwei", vote="urteil", annotator="wer", system="rolle"
    )
    assert record.messages == (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Best pet?"},
    )
    assert order(record) == [["Cat"], ["Dog"]]
    assert record.rankings[0].annotator == "mia"


@pytest.mark.parametrize(("direction", "best"), [("higher", "Dog"), ("lower", "Cat")])
def test_direction_decides_which_score_is_better(direction: str, best: str) -> None:
    (record,) = read([SCORED], vote="score_a,score_b", direction=direction)
    assert order(record)[0] == [best]


def test_scores_that_are_better_if_lower_can_be_fractions_and_start_at_0() -> None:
    row = {**SCORED, "score_a": 0.7, "score_b": 0.1}
    assert order(read([row], vote="score_a,score_b", direction="lower")[0]) == [["Dog"], ["Cat"]]
    listed = {"prompt": "Best pet?", "responses": ["Cat", "Dog", "Ant"], "errors": [2, 0, 2]}
    assert order(read([listed], vote="errors", direction="lower")[0]) == [["Dog"], ["Cat", "Ant"]]


def test_scores_in_a_list_or_under_a_key_can_be_chosen() -> None:
    listed = {"prompt": "Best pet?", "responses": ["Cat", "Dog"], "scores": [0.1, 0.9]}
    keyed = {
        "prompt": "Best pet?",
        "responses": [{"text": "Cat", "reward": 0.1}, {"text": "Dog", "reward": 0.9}],
    }
    assert order(read([listed], vote="scores", direction="higher")[0]) == [["Dog"], ["Cat"]]
    assert order(read([keyed], vote="reward", direction="higher")[0]) == [["Dog"], ["Cat"]]


@pytest.mark.parametrize(
    ("value", "direction", "expected", "strength"),
    [
        (-2, "negative-first", [["Cat"], ["Dog"]], 2),
        (-2, "positive-first", [["Dog"], ["Cat"]], 2),
        (0, "negative-first", [["Cat", "Dog"]], None),
        (0.5, "positive-first", [["Cat"], ["Dog"]], None),
    ],
)
def test_signed_preference_is_read(
    value: float, direction: str, expected: list[list[str]], strength: int | None
) -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "preference": value}
    (record,) = read([row], vote="preference", direction=direction)
    assert order(record) == expected
    assert record.rankings[0].strength == strength


@pytest.mark.parametrize(("direction", "best"), [("from-0", "Dog"), ("from-1", "Cat")])
def test_ambiguous_number_is_read_if_a_direction_is_chosen(direction: str, best: str) -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "winner": 1}
    (record,) = read([row], vote="winner", direction=direction)
    assert order(record)[0] == [best]


def test_votes_can_be_ignored() -> None:
    (record,) = read([SCORED], vote="none")
    assert record.rankings == ()
    assert [response.metadata for response in record.responses] == [{"score": 3}, {"score": 5}]
    assert record.quirks == ()


def test_errors_name_unknown_columns_and_keys_and_directions() -> None:
    assert "vote=choice: the file has no such column" in refusal([SCORED], vote="choice")
    assert "The mapping key 'votes' is unknown" in refusal([SCORED], votes="score_a")
    assert "There is no direction 'up'" in refusal([SCORED], vote="score_a,score_b", direction="up")
    assert "(direction=higher or direction=lower)" in refusal([SCORED], vote="score_a,score_b")


def test_column_that_names_the_worse_response_cannot_be_chosen_as_the_vote() -> None:
    row = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog", "loser": "A"}
    assert "vote=loser: this column identifies the worse response" in refusal([row], vote="loser")


def test_mapping_combined_with_another_format_is_refused() -> None:
    with pytest.raises(FormatError, match="can't be combined with the format hh-rlhf"):
        read_records(io.BytesIO(json.dumps(SCORED).encode()), "hh-rlhf", {"vote": "score_a"})


def test_scores_in_columns_named_after_models_can_be_chosen() -> None:
    row = {"question": "Best pet?", "gpt": "Cat", "claude": "Dog", "score_gpt": 4, "score_claude": 2}
    (record,) = read([row], responses="gpt,claude", vote="score_gpt,score_claude", direction="higher")
    assert order(record) == [["Cat"], ["Dog"]]


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_model_names_are_kept_when_the_vote_column_is_chosen(direction: str) -> None:
    row = {**SCORED, "model_a": "large", "model_b": "small"}
    (record,) = read([row], vote="score_a,score_b", direction=direction)
    assert [response.model for response in record.responses] == ["large", "small"]
    assert [response.metadata for response in record.responses] == [{}, {}]
    (record,) = read([{**row, "winner": "small"}], vote="winner")
    assert order(record) == [["Dog"], ["Cat"]]


@pytest.mark.parametrize(
    "rows",
    [
        [{**SCORED, "score_a": None, "score_b": None, "model_a": "x", "model_b": "y", "winner": "A"}],
        [{"prompt": "Q", "answer1": "a", "answer2": "b", "Preference": 1}],
        [{"prompt": "Q", "responses": ["a", "b"], "chosen_index": number} for number in (0, 1)],
        [{"prompt": "Q", "response_a": "a", "response_b": "b", "rank_a": 2, "rank_b": 1}],
        [{"prompt": "Q", "answers": [{"answer": "a", "rank": 2}, {"answer": "b", "rank": 1}]}],
        [{"prompt": "Q", "responses": [{"text": "a", "selected": True}, {"text": "b", "selected": False}]}],
        [{"prompt": "Q", "response_a": "a", "response_b": "b", "winner_a": 1, "winner_b": 0}],
    ],
)
def test_choosing_the_inferred_mapping_does_not_change_the_records(rows: list[dict[str, Any]]) -> None:
    inferred = preview_of(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))
    assert inferred.records
    assert all(record.rankings for record in inferred.records)
    assert read(rows, **inferred.mapping) == list(inferred.records)
