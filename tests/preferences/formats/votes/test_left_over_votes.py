"""A table with a vote that no rule reads is refused, and the error names the column. A vote is never read as
the opposite vote."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import Record
from tests.preferences.formats.votes.tables import (
    CAT,
    DOG,
    PAIR,
    TIE,
    orders,
    ranking_of,
    records_of,
    refusal,
)

ASKED = {"prompt": "Best pet?"}
LIST = {**ASKED, "responses": ["Cat", "Dog"]}
MODELS = {**ASKED, "gpt": "Cat", "claude": "Dog"}


def items(key: str, one: Any, two: Any) -> dict[str, Any]:
    return {**ASKED, "responses": [{"text": "Cat", key: one}, {"text": "Dog", key: two}]}


def lines_of(*rows: dict[str, Any]) -> list[NumberedRecords]:
    return list(read_records(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))[1])


@pytest.mark.parametrize(
    "column",
    [
        "loser",
        "rejected",
        "worst",
        "worse_response",
        "least_preferred",
        "non_preferred_response",
        "Verlierer",
    ],
)
@pytest.mark.parametrize("cell", ["A", "response_b", "Cat"])
def test_name_of_the_worse_response_is_not_read_as_the_winner(column: str, cell: str) -> None:
    assert f"{column} (it names the worse response" in refusal({**PAIR, column: cell})


def test_number_of_the_worse_response_is_refused() -> None:
    assert "loser (it names the worse response" in refusal({**PAIR, "loser": 1}, {**PAIR, "loser": 2})
    assert "rejected (it names the worse response" in refusal(items("rejected", True, False))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**PAIR, "chosen": "B", "rejected": "A"}, DOG),
        ({**PAIR, "chosen": "response_a", "rejected": "response_b"}, CAT),
        ({**PAIR, "model_a": "large", "model_b": "small", "chosen": "small", "rejected": "large"}, DOG),
        (
            {
                **ASKED,
                "responses": [{"id": "x", "text": "Cat"}, {"id": "y", "text": "Dog"}],
                "chosen": "y",
                "rejected": "x",
            },
            DOG,
        ),
    ],
)
def test_chosen_and_rejected_columns_can_name_responses(
    row: dict[str, Any], expected: list[list[str]]
) -> None:
    assert orders(row) == [expected]


def test_chosen_and_rejected_texts_form_the_pair_if_they_name_no_response() -> None:
    (record,) = records_of([{**PAIR, "chosen": "Ant", "rejected": "Bee"}])
    assert sorted(response.text for response in record.responses) == ["Ant", "Bee"]


@pytest.mark.parametrize(
    "field", [{"preference_strength": 2}, {"all_bad": False}, {"not_rankable": "0"}, {"ranking_id": "r1"}]
)
def test_winner_is_read_in_a_row_with_fields_of_the_native_format(field: dict[str, Any]) -> None:
    assert orders({**PAIR, "winner": "A", **field}) == [CAT]


@pytest.mark.parametrize(
    "column",
    ["a_better", "a_is_better", "first_wins", "response_1_preferred", "is_preferred", "accepted", "better_b"],
)
def test_number_that_can_be_a_truth_value_is_not_read_as_a_response_number(column: str) -> None:
    reason = "its numbers could mean that a response won or lost, or could identify the winner"
    assert f"{column} ({reason})" in refusal({**PAIR, column: 1}, {**PAIR, column: 0})


def test_win_column_of_a_single_model_is_not_read_as_response_numbers() -> None:
    rows = [{**PAIR, "model_a": "gpt 4", "model_b": "claude", "gpt_4_wins": number} for number in (1, 0)]
    assert "gpt_4_wins (its numbers could mean" in refusal(*rows)


@pytest.mark.parametrize(
    "row",
    [
        {**ASKED, "response_a": "B", "response_b": "A", "winner": "A"},
        {**ASKED, "response_1": "2", "response_2": "1", "winner": "1"},
        {**PAIR, "model_a": "model_b", "model_b": "model_a", "winner": "model_a"},
        {**ASKED, "response_a": "tie", "response_b": "knot", "winner": "tie"},
    ],
)
def test_ambiguous_name_of_a_response_is_refused(row: dict[str, Any]) -> None:
    assert f"winner ('{row['winner']}' is ambiguous: it could mean several responses)" in refusal(row)


def test_response_whose_text_is_a_letter_can_win() -> None:
    assert orders({**ASKED, "response_a": "A", "response_b": "B", "winner": "A"}) == [[["A"], ["B"]]]


def test_index_of_a_response_is_not_read_as_its_id() -> None:
    row = {**ASKED, "responses": [{"id": 1, "text": "Cat"}, {"id": 0, "text": "Dog"}]}
    assert orders({**row, "chosen_index": 0}) == [CAT]
    assert orders({**row, "chosen_id": 0}) == [DOG]


def test_winner_given_as_none_is_not_read_as_a_tie() -> None:
    assert "winner ('None' could be a missing value" in refusal({**PAIR, "winner": "None"})


@pytest.mark.parametrize(
    ("row", "named"),
    [
        # numbers and approvals for each response
        ({**PAIR, "prob_a": 0.3, "prob_b": 0.7}, "prob_a (it isn't known whether a higher"),
        ({**PAIR, "creativity_a": 4, "creativity_b": 2}, "creativity_b (it isn't known whether a higher"),
        ({**PAIR, "vote_count_a": 4, "vote_count_b": 2}, "vote_count_a (it isn't known whether a higher"),
        ({**PAIR, "thumbs_up_a": True, "thumbs_up_b": False}, "thumbs_up_a ("),
        ({**PAIR, "feedback_a": "👍", "feedback_b": "👎"}, "feedback_a ("),
        ({**LIST, "creativity": [4, 2]}, "creativity (it isn't known whether a higher"),
        ({**LIST, "correct": [True, False]}, "correct ("),
        (items("rank", "2nd", "1st"), "rank (its values don't show an order)"),
        (items("rating", "good", "poor"), "rating (its values don't show an order)"),
        (items("feedback", "thumbs_up", "thumbs_down"), "feedback (its values don't show an order)"),
        (items("creativity", 4, 2), "creativity (it isn't known whether a higher"),
        (items("votes", ["mia"], []), "votes (its values don't show an order)"),
        (items("annotation", {"rank": 2}, {"rank": 1}), "annotation (rank is inside an object"),
        ({**PAIR, "evaluation_a": "better", "evaluation_b": "worse"}, "evaluation_a ("),
        ({**PAIR, "votes": "3:1"}, "votes ("),
        # signed numbers and signs
        ({**PAIR, "margin": -1.5}, "margin (it isn't known which response a positive number favours)"),
        ({**PAIR, "delta": 0.5}, "delta (it isn't known which response a positive number favours)"),
        ({**PAIR, "strength": -2}, "strength (it isn't known which response a positive number favours)"),
        ({**PAIR, "relation": ">"}, "relation (it isn't known which response is on the left of the sign)"),
        # numbers of responses
        ({**PAIR, "result": 1}, "result ("),
        ({**PAIR, "chosen_by_annotator": 1}, "chosen_by_annotator (it could be the number of a response)"),
        ({**PAIR, "rater_1": 1, "rater_2": 0}, "rater_2 ("),
        ({**PAIR, "chose_first": True}, "chose_first (true and false name no response)"),
        ({**PAIR, "grade_a": "B+", "grade_b": "A"}, "grade_a (its letters could name responses"),
        ({**PAIR, "category": "A"}, "category (its letters could name responses"),
        # several votes
        ({**PAIR, "annotations": ["A", "A", "B"]}, "annotations (it contains several votes"),
        ({**PAIR, "annotations": {"mia": 1, "tom": 0}}, "annotations (it contains several votes"),
        ({**PAIR, "ratings": {"x": 1, "y": 0}}, "ratings (ratings refers to response 'x'"),
        # votes in objects and in the JSON of CSV cells
        ({**PAIR, "annotations": [{"score_a": 3, "score_b": 5}]}, "annotations (score_a is inside an object"),
        ({**PAIR, "evaluation": '{"score_a": 3, "score_b": 4}'}, "evaluation (score_a is inside an object"),
        ({**PAIR, "evaluation": "[{'who': 'x', 'winner': 'A'}]"}, "evaluation (winner is inside an object"),
        ({**LIST, "judge_output": [{"score": 1}, {"score": 2}]}, "judge_output (score is inside an object"),
        ({**PAIR, "judgements": [{"by": "mia", "verdict": "A"}]}, "judgements (it contains objects"),
        ({**PAIR, "winner": {"id": "A"}}, "winner (it contains objects"),
        # votes in the column of the annotator
        ({**PAIR, "judge": "tie"}, "judge (its values name responses)"),
        # responses in columns of unknown names
        ({**MODELS, "human": "gpt"}, "human (no response columns were found)"),
        ({**MODELS, "score_1": 3, "score_2": 4}, "score_1 (no response columns were found)"),
        ({**MODELS, "pref": 1}, "pref (no response columns were found)"),
    ],
)
def test_vote_that_matches_no_rule_is_refused(row: dict[str, Any], named: str) -> None:
    assert named in refusal(row)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({**PAIR, "thumbs_a": "up", "thumbs_b": "down"}, "thumbs_a"),
        ({**PAIR, "view_a": "positive", "view_b": "negative"}, "view_a"),
        ({**PAIR, "stars_a": "★★★★", "stars_b": "★"}, "stars_a"),
        ({**PAIR, "eval_a": "4/5", "eval_b": "2 out of 5"}, "eval_a"),
        ({**PAIR, "eval_a": "4 stars", "eval_b": "80 %"}, "eval_a"),
        (items("feedback", "positive", "negative"), "feedback"),
        (items("check", "✅", "❌"), "check"),
        ({**PAIR, "response_c": "Ant", "sequence": "B>A=C"}, "sequence"),
        ({**PAIR, "response_c": "Ant", "sequence": "response_b, response_a, response_c"}, "sequence"),
        ({**PAIR, "response_c": "Ant", "sequence": "C ≻ A ≻ B"}, "sequence"),
        ({**LIST, "sequence": "2>1"}, "sequence"),
        ({**LIST, "pairwise": [[0, 1], [0, 0]]}, "pairwise"),
        ({**LIST, "duels": [[1, 0]]}, "duels"),
        ({**PAIR, "annotator_1": "A", "annotator_2": "tie", "annotator_3": "B"}, "annotator_1"),
    ],
)
def test_judgement_or_order_that_matches_no_rule_is_refused(row: dict[str, Any], named: str) -> None:
    assert f"{named} (" in refusal(row)


def test_unread_vote_for_the_worst_of_several_responses_is_reported() -> None:
    row = {**ASKED, "response_1": "Cat", "response_2": "Dog", "response_3": "Ant", "best": 3, "worst": 1}
    (record,) = records_of([row])
    assert (record.rankings[0].tiers, record.rankings[0].metadata) == (((2,),), {"worst": 1})
    assert [quirk.name for quirk in record.quirks] == ["other-votes"]


def test_letters_in_a_column_of_results_are_read_as_a_vote() -> None:
    assert orders({**PAIR, "result": "b"}, {**PAIR, "result": "A"}) == [DOG, CAT]
    assert orders({**PAIR, "winner": "B", "category": "A"}) == [DOG]


def test_column_in_which_most_cells_name_a_response_is_refused() -> None:
    rows = [{**PAIR, "human": cell} for cell in ("A", "B", "unsure")]
    assert "human ('unsure' names no response, but other cells do)" in refusal(*rows)


@pytest.mark.parametrize(
    "late",
    [
        {**PAIR, "rank_a": 2, "rank_b": 1},
        {**PAIR, "score_a": 2, "score_b": 1},
        {**PAIR, "human": "A"},
        {**PAIR, "winner": "A", "all_bad": False},
        items("rank", 2, 1),
    ],
)
def test_row_with_a_vote_field_that_the_first_rows_lack_is_rejected(late: dict[str, Any]) -> None:
    *before, last = lines_of(*[PAIR] * 55, late)
    assert [line.reason for line in before] == [""] * 55
    assert last.records == ()
    assert "looks like a vote, but the first rows of the file have no vote" in last.reason


def test_later_row_with_new_fields_that_are_not_votes_becomes_an_open_task() -> None:
    *_, last = lines_of(*[PAIR] * 55, {**PAIR, "note": "A better one", "topic": {"area": "pets"}})
    (record,) = last.records
    assert isinstance(record, Record)
    assert record.metadata == {"note": "A better one", "topic": {"area": "pets"}}


def test_measurements_and_labels_of_open_tasks_are_metadata() -> None:
    row = {
        **PAIR,
        **{"tokens_a": 3, "tokens_b": 4, "length_1": 3, "length_2": 5, "latency_ms_a": 7, "latency_ms_b": 9},
        **{"tags": ["pets", "home"], "difficulty": 3, "turn": 1, "seed": 3, "url_a": "x", "url_b": "y"},
        **{"num_votes": 3, "language": "en", "documents": [{"score": 0.5, "text": "Pets"}]},
    }
    (record,) = records_of([row])
    assert record.rankings == ()
    item = {"model": "m", "temperature": 0.7, "tokens": 3, "finish_reason": "stop", "seed": 1}
    (record,) = records_of([{**ASKED, "responses": [{"text": text, **item} for text in ("Cat", "Dog")]}])
    assert record.rankings == ()


def test_ratings_can_refer_to_responses_by_column() -> None:
    ranking = ranking_of({**PAIR, "ratings": {"response_a": 4, "response_b": 2}})
    assert ranking.ratings == {0: 4, 1: 2}
    assert not ranking.has_order


@pytest.mark.parametrize(
    "row",
    [
        {"data": {**ASKED, "answer1": "Cat", "answer2": "Dog", "winner": "answer1"}, "annotations": []},
        {"fields": {**ASKED, "a": "Cat", "b": "Dog", "winner": "a"}, "responses": []},
    ],
)
def test_vote_in_the_data_of_an_unannotated_task_is_refused(row: dict[str, Any]) -> None:
    (line,) = lines_of(row)
    assert line.records == ()
    assert line.reason.startswith("winner looks like a vote")


def label_studio(control: str, choice: str) -> dict[str, Any]:
    result = {"from_name": control, "to_name": "pair", "type": "choices", "value": {"choices": [choice]}}
    data = {**ASKED, "answer1": "Cat", "answer2": "Dog"}
    return {"data": data, "annotations": [{"id": 3, "completed_by": 1, "result": [result]}]}


def argilla(question: str, value: str) -> dict[str, Any]:
    answer = {"user_id": "mia", "status": "submitted", "values": {question: {"value": value}}}
    return {"fields": {**ASKED, "first": "Cat", "second": "Dog"}, "responses": [answer]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (label_studio("preference", "answer2"), DOG),
        (label_studio("which_is_better", "Response A is better"), CAT),
        (label_studio("winner", "tie"), TIE),
        (argilla("preference", "second"), DOG),
        (argilla("best", "A"), CAT),
        (argilla("winner", "Both are equally good"), TIE),
    ],
)
def test_choice_that_names_a_response_is_read_as_a_vote(
    row: dict[str, Any], expected: list[list[str]]
) -> None:
    assert orders(row) == [expected]


@pytest.mark.parametrize(
    "row",
    [
        label_studio("grade", "A"),
        label_studio("preference", "strong"),
        label_studio("preference", "2"),
        argilla("grade", "A"),
        argilla("preference", "strong"),
    ],
)
def test_choices_that_name_no_response_are_read_as_a_ranking_without_an_order(row: dict[str, Any]) -> None:
    ranking = ranking_of(row)
    assert not ranking.has_order
    assert "strong" in str(ranking.metadata) or "A" in str(ranking.metadata) or "2" in str(ranking.metadata)
