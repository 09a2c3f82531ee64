"""Conversations in files modelled on real public datasets are read without a change of meaning."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preferences.formats.preview import preview_of
from preferences.formats.recognition import read_records
from preferences.records import FormatError, RankingRecord, Record
from tests.field_cases import case


def read(path: Path, format: str) -> list[Record | str]:
    """The record of each line, or the reason why the line is rejected."""
    with path.open("rb") as stream:
        found, lines = read_records(stream)
        assert found.name == format
        return [one(line.records) if not line.reason else line.reason for line in lines]


def one(records: Any) -> Record:
    (record,) = records
    assert isinstance(record, Record)
    return record


def accepted(path: Path, format: str) -> list[Record]:
    found = read(path, format)
    assert all(isinstance(item, Record) for item in found), found
    return [item for item in found if isinstance(item, Record)]


def turns(record: Record) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in record.messages]


def order(record: Record) -> list[list[str]]:
    (ranking,) = record.rankings
    return [[record.responses[index].text for index in tier] for tier in ranking.tiers]


def ranking(record: Record) -> RankingRecord:
    (found,) = record.rankings
    return found


def test_ultrafeedback_binarized_contains_the_prompt_once_and_keeps_its_scores() -> None:
    records = accepted(case("01-ultrafeedback-binarized") / "input.jsonl", "trl-preference")
    assert [turns(record) for record in records] == [
        [("user", "How do I boil an egg?")],
        [("user", "Name a prime above 20.")],
        [("user", "Say hello in Welsh.")],
    ]
    assert [order(record) for record in records] == [
        [["Eight minutes in boiling water."], ["Put it in the sun."]],
        [["23 is prime."], ["21 is prime."]],
        [["Helo!"], ["Shwmae!"]],
    ]
    assert records[0].metadata == {"prompt_id": "0" * 64, "score_chosen": 8.5, "score_rejected": 3.0}


def test_arena_content_parts_are_joined_and_ties_of_bad_responses_are_read() -> None:
    records = accepted(case("06-arena-140k-parts") / "input.jsonl", "arena-battles")
    assert [turns(record) for record in records] == [
        [("user", "2+2?")],
        [("user", "2+3?")],
        [("user", "3+3?")],
        [("user", "1+3?")],
    ]
    assert [order(record) for record in records] == [
        [["4"], ["5"]],
        [["7", "8"]],
        [["7", "9"]],
        [["4", "Four."]],
    ]
    assert [ranking(record).all_bad for record in records] == [False, True, True, False]
    assert str(ranking(records[0]).given_at) == "2025-04-17 21:03:11.123000+00:00"
    assert ranking(records[0]).metadata == {
        "id": "e1",
        "evaluation_session_id": "s",
        "language": "en",
        "timestamp": "2025-04-17 21:03:11.123",
    }


def test_orca_system_column_is_the_system_turn() -> None:
    records = accepted(case("10-orca-dpo-system") / "input.jsonl", "trl-preference")
    assert [turns(record) for record in records] == [
        [("system", "Answer like a pirate, in one sentence."), ("user", "What is rain?")],
        [("user", "What is snow?")],
    ]
    assert order(records[0]) == [
        ["Arr, water fallin' from the sky!"],
        ["Rain is precipitation. It has many forms."],
    ]
    assert [record.metadata for record in records] == [{}, {}]


def test_distilabel_input_column_is_the_prompt() -> None:
    records = accepted(case("11-distilabel-orca-input") / "input.jsonl", "trl-preference")
    assert [turns(record) for record in records] == [
        [("system", "Be brief."), ("user", "What is the capital of Peru?")],
        [("system", "Be brief."), ("user", "Who wrote Emma?")],
    ]
    assert order(records[0]) == [
        ["The capital of Peru is Lima."],
        ["The capital of Peru is Cusco, an old town."],
    ]
    assert records[1].metadata["status"] == "tie"


def test_tool_calls_are_part_of_the_text() -> None:
    records = accepted(case("14-tool-calls") / "input.jsonl", "trl-preference")
    oslo = '```tool_calls\n{"arguments": {"city": "Oslo"}, "name": "get_temp"}\n```'
    assert order(records[0]) == [[f"{oslo}\n\nTool: 4\n\nAssistant: 4 degrees."], ["No idea."]]
    assert order(records[1]) == [[oslo], ['```tool_calls\n{"arguments": {}, "name": "delete_all"}\n```']]
    assert turns(records[2]) == [("user", "How warm is Bern?"), ("assistant", oslo), ("tool", "7")]
    call = {"type": "function", "function": {"name": "get_temp", "arguments": {"city": "Oslo"}}}
    chosen = next(response for response in records[0].responses if response.text != "No idea.")
    assert chosen.metadata == {
        "turn_fields": [{"turn": 0, "tool_calls": [call]}, {"turn": 1, "name": "get_temp"}]
    }
    assert records[0].metadata == {"tools": '[{"type": "function", "function": {"name": "get_temp"}}]'}
    assert records[2].metadata == {"turn_fields": [{"turn": 1, "tool_calls": [call]}]}


def test_sharegpt_conversation_with_one_message_per_answer_is_read() -> None:
    folder = case("15-llamafactory-sharegpt-dicts")
    (record,) = accepted(folder / "input.json", "trl-preference")
    assert turns(record) == [("user", "Tea or coffee?")]
    assert order(record) == [["Tea."], ["Both mixed."]]
    assert record.metadata == {}
    (record,) = accepted(folder / "caps.jsonl", "trl-preference")
    assert turns(record) == [("user", "Tea or coffee?")]
    assert order(record) == [["Tea."], ["Mud."]]


def test_unusual_conversations_are_kept_and_reported_as_quirks() -> None:
    *kept, parted, same = read(case("30-odd-conversations") / "input.jsonl", "trl-preference")
    records = [one([record]) for record in kept]
    assert [turns(record) for record in records] == [
        [("system", "Start the chat.")],
        [("user", "one"), ("assistant", ""), ("user", "two")],
        [("user", "one"), ("user", "two")],
        [("user", "The sky is")],
        [("user", "q")],
    ]
    assert [order(record) for record in records] == [
        [["Hi!"], ["What?"]],
        [["ok"], [""]],
        [["ok"], ["no"]],
        [[" blue"], [" blue and vast"]],
        [["x"], ["x\n\nHuman: more\n\nAssistant: y"]],
    ]
    assert [[quirk.name for quirk in record.quirks] for record in records] == [
        [],
        ["empty-reply", "empty-turn"],
        ["not-alternating"],
        ["implicit-prompt"],
        ["runs-on"],
    ]
    assert parted == (
        "the conversations have no common prompt (the same opening turns, followed by an assistant turn in "
        "every conversation); they first differ at turn 0, counted from 0 (user)"
    )
    assert [quirk.name for quirk in one([same]).quirks] == ["identical-pair"]


def test_tulu_and_skywork_rows_contain_the_prompt_once() -> None:
    records = accepted(case("48-tulu3-skywork-shapes") / "input.jsonl", "trl-preference")
    assert [turns(record) for record in records] == [
        [("user", "Name a river.")],
        [("user", "Name a lake."), ("assistant", "Which country?"), ("user", "Finland.")],
    ]
    assert [order(record) for record in records] == [[["Danube."], ["Everest."]], [["Saimaa."], ["Volga."]]]
    assert {response.text: response.model for response in records[0].responses} == {
        "Danube.": "m1",
        "Everest.": "m2",
    }
    assert records[0].metadata == {"id": "t1", "source": "made"}


def test_ties_of_several_responses_are_kept() -> None:
    folder = case("25-k-way-ties-only")
    ties = accepted(folder / "input.jsonl", "rankloop")
    assert [ranking(record).tiers for record in ties] == [((0, 1, 2),)] * 4
    (mixed,) = accepted(folder / "mixed.jsonl", "rankloop")
    assert ranking(mixed).tiers == ((0,), (1, 2), (3,))


def test_every_character_is_kept_in_json_lines_and_csv_and_parquet(tmp_path: Path) -> None:
    path = case("26-unicode-roundtrip") / "input.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert len(rows) == 12
    texts = [(row["prompt"], row["responses"]) for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["prompt", "response_1", "response_2", "tiers"])
        table.writerows([prompt, *responses, "[[0], [1]]"] for prompt, responses in texts)
    for file in (path, tmp_path / "rows.parquet", tmp_path / "rows.csv"):
        found = accepted(file, "rankloop")
        assert [(r.messages[0]["content"], [item.text for item in r.responses]) for r in found] == texts
        assert all(ranking(record).tiers == ((0,), (1,)) for record in found)


def test_error_for_a_file_of_step_ratings_names_prm800k() -> None:
    file = case("29-prm800k-steps") / "input.jsonl"
    with file.open("rb") as stream, pytest.raises(FormatError) as refused:
        read_records(stream)
    assert str(refused.value) == (
        "Nothing can be imported: the file contains ratings of single reasoning steps, as in PRM800K."
        " Rankloop ranks whole responses."
    )


def test_preview_of_a_refused_file_does_not_offer_columns() -> None:
    with (case("29-prm800k-steps") / "input.jsonl").open("rb") as stream:
        found = preview_of(stream)
    assert (found.columns, "as in PRM800K" in found.problem) == ({}, True)
