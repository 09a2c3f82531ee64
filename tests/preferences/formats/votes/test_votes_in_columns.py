"""Votes in columns of any name are read, or the file is refused with an error that names the columns. If rows
of a file with votes become open tasks, the import reports these rows."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from preferences.formats.recognition import read_records
from preferences.records import Record
from tests.field_cases import case
from tests.preferences.formats.votes.tables import (
    CAT,
    DOG,
    PAIR,
    TIE,
    case_of,
    order,
    orders,
    ranking_of,
    read,
    records_of,
    refusal,
)


@pytest.mark.parametrize(
    "column", ["winner", "Preference", "preferred_response", "better", "vote", "pick", "verdict"]
)
@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("A", CAT),
        ("b", DOG),
        ("response_a", CAT),
        ("Response B", DOG),
        ("model_a", CAT),
        ("left", CAT),
        ("second", DOG),
        ("Dog", DOG),
        ("tie", TIE),
        ("Tie", TIE),
        ("draw", TIE),
        ("equal", TIE),
    ],
)
def test_winner_is_read_in_any_spelling(column: str, cell: str, expected: list[list[str]]) -> None:
    assert orders({**PAIR, column: cell}) == [expected]


@pytest.mark.parametrize("cell", ["tie (bothbad)", "both_bad", "both bad", "bothbad", "neither"])
def test_tie_of_bad_responses_is_marked_as_all_bad(cell: str) -> None:
    ranking = ranking_of({**PAIR, "winner": cell})
    assert ranking.tiers == ((0, 1),)
    assert ranking.all_bad


@pytest.mark.parametrize(
    ("cell", "expected", "strength"),
    [
        ("A is slightly better", CAT, 1),
        ("Response B is much better", DOG, 3),
        ("[[A>>B]]", CAT, 2),
        ("B>A", DOG, None),
        ("A=B", TIE, None),
        ("A<B", DOG, None),
    ],
)
def test_verdict_with_a_strength_is_read(cell: str, expected: list[list[str]], strength: int | None) -> None:
    row = {**PAIR, "verdict": cell}
    assert orders(row) == [expected]
    assert ranking_of(row).strength == strength


@pytest.mark.parametrize(
    "names",
    [
        ("question", "answer_a", "answer_b"),
        ("instruction", "output_1", "output_2"),
        ("query", "Response A", "Response B"),
        ("prompt", "completionA", "completionB"),
        ("input", "text_a", "text_b"),
        ("user_prompt", "left_response", "right_response"),
        ("context", "summary_0", "summary_1"),
        ("prompt", "option 1", "option 2"),
    ],
)
def test_responses_are_found_under_common_names(names: tuple[str, str, str]) -> None:
    prompt, first, second = names
    (record,) = records_of([{prompt: "Best pet?", first: "Cat", second: "Dog", "winner": "Dog"}])
    assert record.messages == ({"role": "user", "content": "Best pet?"},)
    assert order(record) == DOG


def test_winner_number_refers_to_the_number_in_the_column_name() -> None:
    row = {"prompt": "Best pet?", "response_0": "Cat", "response_1": "Dog"}
    assert orders({**row, "better_response_id": 1}) == [DOG]
    assert orders({**row, "better_response_id": "0"}) == [CAT]
    assert orders({**row, "better_response_id": 1.0}) == [DOG]
    one = {"prompt": "Best pet?", "answer1": "Cat", "answer2": "Dog"}
    assert orders({**one, "Preference": 1}) == [CAT]


def test_whether_numbers_start_at_0_or_1_is_inferred_from_the_first_rows() -> None:
    assert orders({**PAIR, "winner": 0}, {**PAIR, "winner": 1}) == [CAT, DOG]
    assert orders({**PAIR, "winner": 1}, {**PAIR, "winner": 2}) == [CAT, DOG]


def test_error_for_an_ambiguous_number_names_the_column() -> None:
    assert "winner (its numbers (1) don't show whether" in refusal({**PAIR, "winner": 1})
    assert "winner (its numbers (0, 1, 2)" in refusal(*({**PAIR, "winner": n} for n in (0, 1, 2)))
    assert "preference (its numbers (-1" in refusal({**PAIR, "preference": -1}, {**PAIR, "preference": 1})


def test_winner_can_be_given_as_a_model_name() -> None:
    row = {**PAIR, "model_a": "large", "model_b": "small", "winner": "small"}
    (record,) = records_of([row])
    assert order(record) == DOG
    assert [response.model for response in record.responses] == ["large", "small"]


def test_index_into_a_list_of_responses_is_read() -> None:
    rows = [
        {"prompt": "Best pet?", "responses": ["Cat", "Dog", "Ant"], "chosen_index": 1},
        {"prompt": "Best pet?", "responses": ["Cat", "Dog"], "chosen_index": 0},
    ]
    assert orders(*rows) == [[["Dog"]], CAT]


def test_vote_with_one_column_per_outcome_is_read() -> None:
    def row(*flags: Any) -> dict[str, Any]:
        names = ("winner_model_a", "winner_model_b", "winner_tie", "winner_both_bad")
        return {**PAIR, **dict(zip(names, flags, strict=True))}

    found = records_of(
        [row(1, 0, 0, 0), row("0", "1", "0", "0"), row(False, False, True, False), row(0, 0, 0, 1.0)]
    )
    assert [order(record) for record in found] == [CAT, DOG, TIE, TIE]
    assert [record.rankings[0].all_bad for record in found] == [False, False, False, True]


def test_row_with_two_winners_in_outcome_columns_is_rejected() -> None:
    rows = [{**PAIR, "a_wins": 1, "b_wins": 0}, {**PAIR, "a_wins": 1, "b_wins": 1}]
    _, lines = read_records(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))
    assert [line.reason for line in lines] == [
        "",
        "exactly one of a_wins, b_wins must be 1; columns with 1: a_wins, b_wins",
    ]


def test_rank_per_response_is_read_with_1_as_the_best_rank() -> None:
    columns = {**PAIR, "rank_a": 2, "rank_b": 1.0}
    listed = {"prompt": "Best pet?", "responses": ["Cat", "Dog"], "ranks": [2, 1]}
    items = {
        "prompt": "Best pet?",
        "answers": [{"answer": "Cat", "rank": 2.0}, {"answer": "Dog", "rank": 1.0}],
    }
    assert [orders(row) for row in (columns, listed, items)] == [[DOG]] * 3


def test_equal_ranks_are_ties_and_responses_without_a_rank_are_unranked() -> None:
    items = [{"text": text, "rank": rank} for text, rank in (("Cat", 1), ("Dog", 1), ("Ant", None))]
    assert orders({"prompt": "Best pet?", "responses": items}) == [[["Cat", "Dog"]]]


@pytest.mark.parametrize(
    "row",
    [
        {**PAIR, "score_a": 3, "score_b": 5},
        {**PAIR, "rating": 4},
        {"prompt": "Best pet?", "responses": ["Cat", "Dog"], "scores": [0.1, 0.9]},
        {
            "prompt": "Best pet?",
            "responses": [{"text": "Cat", "reward": 0.1}, {"text": "Dog", "reward": 0.9}],
        },
    ],
)
def test_score_of_unknown_direction_is_refused(row: dict[str, Any]) -> None:
    assert "it isn't known whether a higher number is better" in refusal(row)


def test_error_for_an_unknown_winner_names_the_column_and_the_value() -> None:
    assert "winner ('C' names no response)" in refusal({**PAIR, "winner": "C"})
    assert "preferred ('the funny one' names no response)" in refusal({**PAIR, "preferred": "the funny one"})


def test_row_with_two_columns_that_could_be_the_vote_is_refused() -> None:
    assert "winner_ann (" in refusal({**PAIR, "winner_ann": "A", "winner_bob": "B"})


def test_row_with_a_vote_column_that_the_first_rows_lack_is_rejected() -> None:
    rows = [PAIR] * 60 + [{**PAIR, "winner": "A"}]
    _, lines = read_records(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))
    reasons = [line.reason for line in lines]
    assert reasons[:60] == [""] * 60
    assert reasons[60].startswith("winner looks like a vote")


def test_row_without_a_vote_becomes_an_open_task_with_a_notice() -> None:
    voted, open_task = records_of([{**PAIR, "winner": "A"}, {**PAIR, "prompt": "And now?", "winner": ""}])
    assert order(voted) == CAT
    assert open_task.rankings == ()
    assert [quirk.name for quirk in open_task.quirks] == ["vote-missing"]


def test_rows_of_a_table_without_votes_become_open_tasks() -> None:
    rows = [{**PAIR, "topic": "pets", "difficulty": 3, "best_before": None}]
    stream = io.BytesIO("\n".join(map(json.dumps, rows)).encode())
    name, (record,) = read(stream)
    assert (name, record.rankings) == ("rankloop", ())


def test_row_with_a_vote_keeps_all_its_other_fields() -> None:
    row = {
        **PAIR,
        "winner": "B",
        "worker_id": 17,
        "reason": "Loyal.",
        "created_at": "2024-03-29T05:39:54Z",
        "id": 5,
        "toxicity_a": 0.5,
        "toxicity_b": 0.25,
        "language": "en",
    }
    ranking = ranking_of(row)
    assert (ranking.annotator, ranking.comment, ranking.external_id) == ("17", "Loyal.", "5")
    assert ranking.given_at is not None
    assert ranking.given_at.isoformat() == "2024-03-29T05:39:54+00:00"
    assert ranking.ratings == {0: {"toxicity": 0.5}, 1: {"toxicity": 0.25}}
    assert ranking.metadata == {"language": "en"}


def test_system_turn_in_addition_to_the_prompt_is_kept() -> None:
    (record,) = records_of([{**PAIR, "winner": "A", "system_prompt": "Be brief."}])
    assert record.messages[0] == {"role": "system", "content": "Be brief."}


def test_csv_table_is_read_like_json() -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["prompt", "answer_1", "answer_2", "winner"], ["Best pet?", "Cat", "Dog", "2"]])
    name, (record,) = read(io.BytesIO(text.getvalue().encode()))
    assert (name, order(record)) == ("table", DOG)


def test_nectar_answers_are_ordered_by_rank() -> None:
    name, (first, second) = case_of(case("02-nectar-ranked-answers") / "input.jsonl")
    assert name == "table"
    assert first.messages == ({"role": "user", "content": "Why is the sea salty?"},)
    assert first.rankings[0].tiers == ((2,), (0,), (3,), (1,))
    assert [response.model for response in first.responses] == ["m1", "m2", "m3", "m4"]
    assert second.messages == ({"role": "user", "content": "Define entropy."},)
    assert second.rankings[0].tiers == ((1,), (3,), (0,), (2,))


def test_both_judgements_of_pku_saferlhf_are_kept() -> None:
    _, (first, second) = case_of(case("03-pku-saferlhf") / "input.jsonl")
    assert (first.rankings[0].tiers, second.rankings[0].tiers) == (((0,), (1,)), ((1,), (0,)))
    assert first.rankings[0].ratings == {0: {"safe": 1}, 1: {"safe": 0}}
    assert second.rankings[0].metadata["safer_response_id"] == 0


def test_arena_55k_cells_are_decoded() -> None:
    with (case("05-arena-55k-csv") / "input.csv").open("rb") as stream:
        lines = list(read_records(stream)[1])
    first, broken, third = lines
    record = first.records[0]
    assert isinstance(record, Record)
    assert record.messages == ({"role": "user", "content": "Is it fine to nap at work?"},)
    assert (
        record.responses[0].text
        == "Short naps help.\nAsk first.\n\nHuman: And in meetings?\n\nAssistant: No."
    )
    assert record.rankings[0].tiers == ((0,), (1,))
    assert "lone surrogate" in broken.reason
    tie = third.records[0]
    assert isinstance(tie, Record)
    assert tie.rankings[0].tiers == ((0, 1),)


def test_summarize_from_feedback_dataset_is_read() -> None:
    name, (record,) = case_of(case("08-summarize-from-feedback") / "input.json")
    assert name == "summarize-from-feedback"
    assert record.rankings[0].tiers == ((0,), (1,))
    assert (record.rankings[0].annotator, record.rankings[0].confidence) == ("w1", 8)
    assert [response.model for response in record.responses] == ["sup1", "ref"]


def test_helpsteer3_preference_is_read() -> None:
    name, (record,) = case_of(case("09-helpsteer3-preference") / "input.jsonl")
    assert name == "helpsteer3"
    assert (record.rankings[0].tiers, record.rankings[0].strength) == (((1,), (0,)), 2)
    assert len(record.rankings[0].metadata["individual_preference"]) == 2


def test_ultrafeedback_completions_are_ranked_and_rated() -> None:
    name, records = case_of(case("12-ultrafeedback-completions") / "input.jsonl")
    assert name == "ultrafeedback"
    ranking = records[0].rankings[0]
    assert ranking.tiers == ((0, 1, 2, 3),)  # equal fine-grained scores
    assert ranking.ratings == {
        place: {"helpfulness": 4, "fine-grained_score": 4.25, "overall_score": score}
        for place, score in enumerate((7.5, 10.0, 6.0, 2.0))
    }
    assert [response.model for response in records[0].responses] == ["m1", "m2", "m3", "m4"]


def test_chosen_rewardbench_responses_rank_above_all_others() -> None:
    name, records = case_of(case("28-rewardbench2-lists") / "input.jsonl")
    assert name == "rewardbench"
    assert [record.messages[0]["content"] for record in records] == ["Capital of Chad?", "Name a colour."]
    assert [set(order(record)[0]) for record in records] == [{"N'Djamena."}, {"Red.", "Blue."}]
    # The other responses are unranked: they are worse than the first tier, and have no order among them.
    assert [len(order(record)) for record in records] == [1, 1]
    assert [{response.text for response in record.responses} for record in records] == [
        {"N'Djamena.", "Lagos.", "Paris.", "Bern."},
        {"Red.", "Blue.", "Seven.", "Dog."},
    ]
    assert {response.text: response.model for response in records[0].responses} == {
        "N'Djamena.": "a",
        "Lagos.": "b",
        "Paris.": "c",
        "Bern.": "d",
    }
    assert [record.rankings[0].external_id for record in records] == ["0", "ref:1"]


def test_label_studio_json_min_is_read_and_a_missing_answer_is_reported() -> None:
    _, (first, second) = case_of(case("16-label-studio-json-min") / "input.json")
    assert (first.rankings[0].tiers, first.rankings[0].annotator) == (((0,), (1,)), "4")
    assert second.rankings == ()
    assert [quirk.name for quirk in second.quirks] == ["vote-missing"]


def test_ratings_without_an_order_are_read_as_a_ranking_without_an_order() -> None:
    name, (first, second) = case_of(case("27-ratings-without-order") / "input.jsonl")
    assert name == "rankloop"
    rated, rewritten = first.rankings[0], second.rankings[0]
    assert (rated.tiers, rated.has_order) == ((), False)
    assert rated.ratings == {0: {"helpfulness": 4}, 1: {"helpfulness": 2}}
    assert (rated.annotator, rated.comment, rated.duration_ms) == ("w7", "r2 is rude", 9000)
    assert (rewritten.rewrite, rewritten.flags) == ("A better answer.", {0: ["unsafe"]})
    assert (first.metadata, second.metadata) == ({}, {})
    assert [quirk.name for record in (first, second) for quirk in record.quirks] == ["no-order"] * 2


def test_row_without_a_vote_keeps_its_annotator_and_comment_and_ratings() -> None:
    rows = [
        {**PAIR, "winner": "A", "worker_id": "ann"},
        {
            **PAIR,
            "winner": None,
            "worker_id": "ben",
            "reason": "Rude.",
            "toxicity_a": 0.5,
            "toxicity_b": 0.25,
        },
        {**PAIR, "winner": None, "worker_id": "cid", "created_at": "2024-03-29T05:39:54Z"},
    ]
    _, (_, second, third) = read(io.BytesIO("\n".join(map(json.dumps, rows)).encode()))
    (ranking,) = second.rankings
    assert (ranking.has_order, ranking.annotator, ranking.comment) == (False, "ben", "Rude.")
    assert ranking.ratings == {0: {"toxicity": 0.5}, 1: {"toxicity": 0.25}}
    assert [quirk.name for quirk in second.quirks] == ["vote-missing", "no-order"]
    assert third.rankings == ()
    assert third.metadata == {"annotator": "cid", "given_at": "2024-03-29T05:39:54+00:00"}


def test_in_house_winner_column_is_read() -> None:
    name, records = case_of(case("47-in-house-winner-csv") / "input.csv")
    assert name == "table"
    assert [record.rankings[0].tiers for record in records] == [((0,), (1,)), ((1,), (0,)), ((0, 1),)]
    assert [record.rankings[0].annotator for record in records] == ["ann1", "ann2", "ann1"]


def test_responses_in_columns_with_the_names_of_models_are_found() -> None:
    row = {"question": "Best pet?", "gpt": "Cat", "claude": "Dog"}
    assert orders({**row, "winner": "gpt"}, {**row, "winner": "claude"}) == [CAT, DOG]
    assert orders({**row, "gpt_rank": 2, "claude_rank": 1}) == [DOG]
    assert "score_gpt" in refusal({**row, "score_gpt": 4, "score_claude": 2})


def test_votes_written_as_sentences_are_read() -> None:
    assert orders({**PAIR, "Which is better?": "Both are equally good"}) == [TIE]
    assert orders({**PAIR, "Which is better?": "Answer A is better"}) == [CAT]
    assert ranking_of({**PAIR, "verdict": "Both are bad"}).all_bad


@pytest.mark.parametrize("column", ["order", "ratings"])
def test_list_of_numbers_with_unknown_direction_is_refused(column: str) -> None:
    row = {"prompt": "Best pet?", "responses": ["Cat", "Dog"], column: [2.0, 4.0]}
    assert f"{column} (it isn't known" in refusal(row)


def test_true_and_false_are_not_read_as_response_numbers() -> None:
    assert "a_is_better (true and false name no response)" in refusal({**PAIR, "a_is_better": True})
