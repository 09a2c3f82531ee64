"""Tests of formats for which there is no real test file. The rows follow each system's documentation."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.recognition import read_records
from preferences.records import RankingRecord, Record, Vote

ASK, ONE, TWO = (
    {"role": "user", "content": "Which?"},
    {"role": "assistant", "content": "One."},
    {"role": "assistant", "content": "Two."},
)


def parsed(row: dict[str, Any], format: str | None = None) -> tuple[str, list[Record | Vote], str]:
    found, records = read_records(io.BytesIO(json.dumps(row).encode()), format)
    (line,) = records
    return found.name, list(line.records), line.reason


def record_of(row: dict[str, Any], format: str) -> Record:
    """Return the only record of a row, after checking that the row is recognised as `format`."""
    name, records, reason = parsed(row)
    assert name == format, reason
    assert len(records) == 1, reason
    assert isinstance(records[0], Record)
    return records[0]


def order(record: Record, ranking: RankingRecord | None = None) -> list[list[str]]:
    ranking = ranking or record.rankings[0]
    return [[record.responses[index].text for index in tier] for tier in ranking.tiers]


def names(record: Record) -> list[str]:
    return [quirk.name for quirk in record.quirks]


def pairwise(*selected: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "data": {"prompt": "Which?", "answer1": "One.", "answer2": "Two.", "topic": "counting"},
        "annotations": [
            {
                "id": 68045 + number,
                "completed_by": number,
                "lead_time": 12.51,
                "created_at": "2024-05-01T10:00:00.000000Z",
                "was_cancelled": False,
                "result": [
                    {
                        "from_name": "comparison",
                        "to_name": "comparison",
                        "type": "pairwise",
                        "value": {"selected": side},
                    }
                ],
                **changes,
            }
            for number, side in enumerate(selected)
        ],
    }


def test_label_studio_pairwise_export_is_read() -> None:
    record = record_of(pairwise("left", "right"), "label-studio")
    assert [order(record, ranking) for ranking in record.rankings] == [
        [["One."], ["Two."]],
        [["Two."], ["One."]],
    ]
    assert [ranking.annotator for ranking in record.rankings] == ["0", "1"]
    assert record.rankings[0].duration_ms == 12_510
    assert record.rankings[0].given_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert record.metadata == {"data": {"topic": "counting"}}


def test_cancelled_label_studio_annotation_is_left_out_with_a_quirk() -> None:
    record = record_of(pairwise("left", was_cancelled=True), "label-studio")
    assert record.rankings == ()
    assert names(record) == ["answer-left-out"]


def test_label_studio_annotation_without_an_order_keeps_its_other_results() -> None:
    row = pairwise("left", "right")
    row["annotations"][0]["result"] = [{"from_name": "help", "type": "rating", "value": {"rating": 4}}]
    row["annotations"][1]["result"] = []
    record = record_of(row, "label-studio")
    (ranking,) = record.rankings
    assert (ranking.has_order, ranking.annotator, ranking.duration_ms) == (False, "0", 12_510)
    assert ranking.metadata["results"] == [{"name": "help", "type": "rating", "value": {"rating": 4}}]
    assert names(record) == ["no-order", "answer-left-out"]


@pytest.mark.parametrize(
    ("answer", "tiers", "flags", "odd"),
    [
        (["c", "a", "b"], [["C"], ["A"], ["B"]], {}, []),
        ({"rank": ["c", "a", "b"]}, [["C"], ["A"], ["B"]], {}, []),
        ({"rank": ["c"], "_": ["a", "b"]}, [["C"]], {}, []),
        (
            {"best": ["c", "a"], "rest": ["b"]},
            [["C", "A"], ["B"]],
            {2: ["best"], 0: ["best"], 1: ["rest"]},
            ["buckets"],
        ),
    ],
)
def test_three_formats_of_a_label_studio_ranker_are_read(
    answer: Any, tiers: list[list[str]], flags: dict[int, Any], odd: list[str]
) -> None:
    row = pairwise("left")
    row["data"] = {"prompt": "Which?", "items": [{"id": id, "body": id.upper()} for id in "abc"]}
    row["annotations"][0]["result"] = [
        {"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": answer}}
    ]
    record = record_of(row, "label-studio")
    assert order(record) == tiers
    assert record.rankings[0].flags == flags
    assert names(record) == odd


def test_ranker_with_an_unknown_item_is_rejected() -> None:
    row = pairwise("left")
    row["annotations"][0]["result"] = [{"type": "ranker", "value": {"ranker": ["left", "zzz"]}}]
    assert "names 'zzz', which is not an item" in parsed(row)[2]


def argilla(*answers: dict[str, Any]) -> dict[str, Any]:
    return {
        "fields": {"prompt": "Which?", "resp_a": "One.", "resp_b": "Two.", "hint": "count"},
        "metadata": {"topic": "counting"},
        "responses": list(answers),
    }


def ranked(a: int, b: int, **changes: Any) -> dict[str, Any]:
    value = [{"value": "resp_a", "rank": a}, {"value": "resp_b", "rank": b}]
    return {
        "values": {"pref": {"value": value}, "why": {"value": "clear"}},
        "status": "submitted",
        "user_id": "u1",
    } | changes


def test_argilla_ranks_do_not_depend_on_the_order_of_options() -> None:
    record = record_of(argilla(ranked(2, 1), ranked(1, 1, user_id="u2")), "argilla")
    assert [order(record, ranking) for ranking in record.rankings] == [
        [["Two."], ["One."]],
        [["One.", "Two."]],
    ]
    assert [ranking.annotator for ranking in record.rankings] == ["u1", "u2"]
    assert record.rankings[0].metadata == {"values": {"why": "clear"}}
    assert record.metadata == {"fields": {"hint": "count"}, "topic": "counting"}


def test_argilla_drafts_are_left_out_with_a_quirk() -> None:
    record = record_of(argilla(ranked(2, 1), ranked(1, 2, status="draft")), "argilla")
    assert len(record.rankings) == 1
    assert names(record) == ["answer-left-out"]


def test_argilla_response_without_ranks_is_read_as_a_ranking_without_an_order() -> None:
    values = {"pref": {"value": None}, "comment": {"value": "Rude."}, "rewrite": {"value": "Three."}}
    record = record_of(
        argilla(ranked(2, 1), {"values": values | {"help": {"value": 4}}, "user_id": "u2"}), "argilla"
    )
    ranking = record.rankings[1]
    assert (ranking.has_order, ranking.annotator) == (False, "u2")
    assert (ranking.comment, ranking.rewrite) == ("Rude.", "Three.")
    assert ranking.metadata == {"values": {"help": 4}}
    assert names(record) == ["no-order"]


def test_argilla_flat_rows_without_ranks_become_open_tasks() -> None:
    row = {
        "prompt": "Which?",
        "resp_a": "One.",
        "resp_b": "Two.",
        "pref.responses": [["resp_a", "resp_b"]],
        "pref.responses.users": ["u1"],
        "pref.responses.status": ["submitted"],
    }
    record = record_of(row, "argilla")
    assert record.rankings == ()
    assert names(record) == ["ranks-lost"]
    assert {response.text for response in record.responses} == {"One.", "Two."}


@pytest.mark.parametrize(
    ("row", "prompt", "better", "worse"),
    [
        (
            {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
            "The sky is",
            " blue.",
            " green.",
        ),
        ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, "The sky is", " blue.", " green."),
        ({"chosen": "The sky is blue.", "rejected": "The sky is black."}, "The sky is", " blue.", " black."),
        ({"prompt": [ASK], "chosen": [ONE], "rejected": [TWO]}, "Which?", "One.", "Two."),
        ({"chosen": [ASK, ONE], "rejected": [ASK, TWO]}, "Which?", "One.", "Two."),
        ({"prompt": "Which?", "chosen": [ASK, ONE], "rejected": [ASK, TWO]}, "Which?", "One.", "Two."),
        ({"prompt": "Which?", "chosen": [ONE], "rejected": [TWO]}, "Which?", "One.", "Two."),
    ],
)
def test_all_variants_of_trl_preference_data_are_read(
    row: dict[str, Any], prompt: str, better: str, worse: str
) -> None:
    record = record_of({**row, "margin": 3.0}, "trl-preference")
    assert [message["content"] for message in record.messages] == [prompt]
    assert order(record) == [[better], [worse]]
    assert record.rankings[0].strength == 3


@pytest.mark.parametrize(
    ("margin", "strength", "kept"),
    [(0.0, None, {}), (2, 2, {}), (0.35, None, {"margin": 0.35}), (-1, None, {"margin": -1.0})],
)
def test_integer_margin_is_read_as_a_strength(
    margin: float, strength: int | None, kept: dict[str, Any]
) -> None:
    record = record_of({"prompt": "Q", "chosen": "a", "rejected": "b", "margin": margin}, "trl-preference")
    assert (record.rankings[0].strength, record.rankings[0].metadata) == (strength, kept)
    assert names(record) == (["margin-not-whole"] if kept else [])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "Blue.", "rejected": "Green."}, "there is no prompt"),
        ({"prompt": "Q", "chosen": "a", "rejected": [TWO]}, "must both be"),
        ({"prompt": "Q", "chosen": "a", "rejected": "b", "margin": "much"}, "margin must be a number"),
        ({"chosen": [ONE], "rejected": [TWO]}, "have no common prompt"),
    ],
)
def test_broken_trl_row_is_rejected_with_the_reason(row: dict[str, Any], reason: str) -> None:
    assert reason in parsed(row)[2]


def battle(winner: str, **changes: Any) -> dict[str, Any]:
    return {
        "question_id": "q1",
        "model_a": "m1",
        "model_b": "m2",
        "winner": winner,
        "judge": "arena_user_x",
        "conversation_a": [ASK, ONE],
        "conversation_b": [ASK, TWO],
        "turn": 1,
        "anony": True,
        "tstamp": 1700000000.0,
        **changes,
    }


@pytest.mark.parametrize(
    ("winner", "tiers", "all_bad"),
    [
        ("model_a", [["One."], ["Two."]], False),
        ("model_b", [["Two."], ["One."]], False),
        ("tie", [["One.", "Two."]], False),
        ("tie (bothbad)", [["One.", "Two."]], True),
    ],
)
def test_arena_battles_are_read(winner: str, tiers: list[list[str]], all_bad: bool) -> None:
    record = record_of(battle(winner), "arena-battles")
    (ranking,) = record.rankings
    assert (order(record), ranking.all_bad, ranking.annotator) == (tiers, all_bad, "arena_user_x")
    assert ranking.given_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert [response.model for response in record.responses] == ["m1", "m2"]


def test_second_turn_is_ignored_in_a_vote_on_the_first_turn() -> None:
    more = [{"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Three."}]
    row = battle("model_a", conversation_a=[ASK, ONE, *more], conversation_b=[ASK, TWO, *more])
    assert order(record_of(row, "arena-battles")) == [["One."], ["Two."]]
    both = record_of({**row, "turn": 2}, "arena-battles")
    assert order(both)[0] == ["One.\n\nHuman: And then?\n\nAssistant: Three."]


def test_individual_oasst_rankings_replace_the_consensus() -> None:
    def reply(id: str, **more: Any) -> dict[str, Any]:
        return {"message_id": id, "text": id, "role": "assistant", "replies": [], **more}

    events = [
        {"type": "ranking", "user_id": f"u{number}", "ranked_message_ids": ids, "not_rankable": not ids}
        for number, ids in enumerate((["b", "a", "c"], ["a", "c"], []))
    ]
    root = {
        "message_id": "0",
        "text": "Which?",
        "role": "prompter",
        "replies": [reply("a", rank=0), reply("b", rank=1), reply("c", rank=2)],
        "events": {"ranking": events},
    }
    _, records, reason = parsed({"message_tree_id": "0", "prompt": root})
    assert not reason
    found = {
        ranking.annotator: [[record.responses[index].text for index in tier] for tier in ranking.tiers]
        for record in records
        if isinstance(record, Record)
        for ranking in record.rankings
    }
    assert found == {"u0": [["b"], ["a"], ["c"]], "u1": [["a"], ["c"]], "u2": []}


@pytest.mark.parametrize(
    ("row", "responses"),
    [
        ({"question": "Q", "answers": ["a", "b", "c"]}, ["a", "b", "c"]),
        ({"instruction": "Q", "completions": [{"completion": "a"}, {"content": "b"}]}, ["a", "b"]),
        ({"prompt": "Q", "response_a": "a", "response_b": "b"}, ["a", "b"]),
        ({"query": "Q", "output1": "a", "output2": "b", "model1": "m"}, ["a", "b"]),
        ({"messages": [ASK], "Answer 1": "a", "Answer 2": "b"}, ["a", "b"]),
    ],
)
def test_common_column_names_are_recognised(row: dict[str, Any], responses: list[str]) -> None:
    record = record_of(row, "rankloop")
    assert [response.text for response in record.responses] == responses
    assert record.metadata == {}


@pytest.mark.parametrize(
    ("signed", "tiers", "strength"),
    [(-2, [["a"], ["b"]], 2), (3, [["b"], ["a"]], 3), (0, [["a", "b"]], None)],
)
def test_helpsteer_preferences_are_read(signed: int, tiers: list[list[str]], strength: int | None) -> None:
    row = {"prompt": "Q", "response_1": "a", "response_2": "b", "preference_strength": signed}
    record = record_of({**row, "preference_statement": "clearer"}, "rankloop")
    assert (order(record), record.rankings[0].strength, record.rankings[0].comment) == (
        tiers,
        strength,
        "clearer",
    )


def test_every_format_documents_what_is_read_and_what_is_lost() -> None:
    for known in IMPORT_FORMATS.values():
        assert known.title
        assert known.reads.endswith(".")
        assert known.loses.endswith(".")
