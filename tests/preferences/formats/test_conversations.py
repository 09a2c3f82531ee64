"""Pairs of conversations: where the prompt is read from, and what text each turn becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from preferences.formats.readers.pairs.repeated import without_prompt
from preferences.records import Record
from tests.preferences.formats.test_readers import battle, names, order, parsed, record_of

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Name a river."}
YES = {"role": "assistant", "content": "Danube."}
NO = {"role": "assistant", "content": "Everest."}
MORE = [{"role": "assistant", "content": "Where?"}, {"role": "user", "content": "In Europe."}]


def turns(record: Record) -> list[str]:
    return [f"{message['role']}: {message['content']}" for message in record.messages]


def pair(**row: Any) -> dict[str, Any]:
    return {"chosen": [YES], "rejected": [NO], **row}


def both(*opening: dict[str, Any]) -> dict[str, Any]:
    return {"chosen": [*opening, YES], "rejected": [*opening, NO]}


ONCE = ["user: Name a river."]
WITH_SYSTEM = ["system: Be brief.", *ONCE]
LONG = [*ONCE, "assistant: Where?", "user: In Europe."]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (pair(prompt="Name a river."), ONCE),
        (pair(prompt=ASK), ONCE),
        (pair(prompt=[SYSTEM, ASK]), WITH_SYSTEM),
        (pair(prompt=json.dumps([ASK])), ONCE),
        (both(ASK), ONCE),
        (both(ASK) | {"prompt": "Name a river."}, ONCE),
        (both(ASK) | {"prompt": "Name a river.\n"}, ONCE),
        (both(ASK) | {"prompt": [ASK]}, ONCE),
        (both(ASK) | {"prompt": [SYSTEM, ASK]}, WITH_SYSTEM),
        (both(ASK) | {"prompt": [SYSTEM]}, WITH_SYSTEM),
        (both(ASK) | {"prompt": "Name a river.", "system": "Be brief."}, WITH_SYSTEM),
        (both(ASK) | {"system_prompt": "Be brief."}, WITH_SYSTEM),
        (both(SYSTEM, ASK) | {"prompt": "Name a river."}, WITH_SYSTEM),
        (both(SYSTEM, ASK) | {"prompt": [ASK]}, WITH_SYSTEM),
        (both(SYSTEM, ASK) | {"prompt": [SYSTEM, ASK]}, WITH_SYSTEM),
        (both(SYSTEM, ASK) | {"system": "Be brief."}, WITH_SYSTEM),
        (both(ASK, *MORE) | {"prompt": "Name a river."}, LONG),
        (both(ASK, *MORE) | {"prompt": "In Europe."}, LONG),
        (both(ASK, *MORE) | {"prompt": [ASK, *MORE], "system": " "}, LONG),
        (both(MORE[1]) | {"prompt": [ASK, *MORE]}, LONG),
        (both(ASK) | {"messages": [ASK, YES]}, ONCE),
        (both(ASK) | {"messages": [SYSTEM, ASK, YES], "prompt": "Name a river."}, ONCE),
        (pair(prompt="Name a river.", messages=[ASK, NO]), ONCE),
        (pair(messages=[ASK], prompt="Name a river."), ONCE),
        ({"prompt": "Name a river.", "messages": [ASK, YES], "chosen": "Danube.", "rejected": "No."}, ONCE),
        ({"messages": [ASK], "prompt": "Name a river.", "chosen": "Danube.", "rejected": "No."}, ONCE),
    ],
)
def test_prompt_is_read_exactly_once_from_any_supported_field(
    row: dict[str, Any], expected: list[str]
) -> None:
    record = record_of(row, "trl-preference")
    assert turns(record) == expected
    assert order(record)[0] == ["Danube."]
    assert record.metadata == {}
    assert names(record) == []


def test_messages_that_end_with_neither_response_are_kept_as_metadata() -> None:
    other = [ASK, {"role": "assistant", "content": "Rhine."}]
    record = record_of(both(ASK) | {"prompt": "Name a river.", "messages": other}, "trl-preference")
    assert (turns(record), record.metadata) == (ONCE, {"messages": other})


def test_prompt_that_differs_from_both_conversations_is_kept_as_metadata() -> None:
    record = record_of(both(ASK) | {"prompt": "Name a mountain."}, "trl-preference")
    assert (turns(record), record.metadata) == (ONCE, {"prompt": "Name a mountain."})
    assert names(record) == ["prompt-differs"]
    record = record_of(both(SYSTEM, ASK) | {"system": "Be long."}, "trl-preference")
    assert (turns(record), record.metadata) == (WITH_SYSTEM, {"system": "Be long."})
    assert names(record) == ["prompt-differs"]


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "rests"),
    [
        ("Name a river.", "Name a river. Danube.", "Name a river.\nEverest.", [" Danube.", "\nEverest."]),
        ("Name a river. ", "\nName a river.\n\nDanube.", "Name a river.No.", ["\n\nDanube.", "No."]),
        ("Name a river.", "Name a river. Danube.", "Everest.", None),
        ("Name a river.", "Name a river.", "Name a river. Everest.", None),
        ("Name a river", "Name a riverside town.", "Name a river", None),
        ("Hello", "Hello, Ann.", "Hello there.", None),
    ],
)
def test_prompt_repeated_at_the_start_of_both_texts_is_removed(
    prompt: str, chosen: str, rejected: str, rests: list[str] | None
) -> None:
    assert without_prompt(prompt, [chosen, rejected]) == rests
    record = record_of({"prompt": prompt, "chosen": chosen, "rejected": rejected}, "trl-preference")
    assert turns(record) == [f"user: {prompt}"]
    assert order(record) == [[text] for text in rests or [chosen, rejected]]
    assert names(record) == (["prompt-repeated"] if rests else [])


NAMES = ["prompt", "question", "query", "instruction", "user_prompt", "user_input", "input", "context"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("system", ["system", "system_prompt"])
def test_prompt_field_with_any_supported_name_is_read_with_the_system_prompt(name: str, system: str) -> None:
    texts = {"chosen": "A river.", "rejected": "A mountain."}
    for given, expected in (("Be brief.", WITH_SYSTEM), ("", ONCE), (None, ONCE)):
        record = record_of({system: given, name: "Name a river.", **texts}, "trl-preference")
        assert (turns(record), record.metadata) == (expected, {})


@pytest.mark.parametrize("name", ["messages", "conversation", "conversations", "prompt", "context", "input"])
def test_prompt_field_with_any_supported_name_can_contain_turns(name: str) -> None:
    row = {name: [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Name a river."}]}
    assert turns(record_of({**row, "chosen": "a", "rejected": "b"}, "trl-preference")) == WITH_SYSTEM


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"responses": ["a", "b"]}, "rankloop"),
        ({"chosen": ["a"], "rejected": ["b"]}, "rewardbench"),
        ({"topic": "rivers"}, "prompts"),
    ],
)
def test_system_prompt_is_the_first_turn_in_every_format_with_a_prompt_field(
    row: dict[str, Any], format: str
) -> None:
    record = record_of({"system": "Be brief.", "question": "Name a river.", **row}, format)
    assert turns(record) == WITH_SYSTEM
    assert "system" not in record.metadata


def test_system_prompt_of_label_studio_and_argilla_is_the_first_turn() -> None:
    data = {"system": "Be brief.", "prompt": "Name a river.", "answer1": "a", "answer2": "b", "topic": "x"}
    record = record_of({"data": data, "annotations": []}, "label-studio")
    assert (turns(record), record.metadata) == (WITH_SYSTEM, {"data": {"topic": "x"}})
    fields = {"system": "Be brief.", "prompt": "Name a river.", "resp_a": "a", "resp_b": "b"}
    record = record_of({"fields": fields, "responses": []}, "argilla")
    assert (turns(record), record.metadata) == (WITH_SYSTEM, {})
    assert [response.text for response in record.responses] == ["a", "b"]


def test_system_prompt_of_hh_dialogues_is_the_first_turn() -> None:
    sides = {side: f"\n\nHuman: Name a river.\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    record = record_of({"system": "Be brief.", **sides}, "hh-rlhf")
    assert (turns(record), order(record)) == (WITH_SYSTEM, [["chosen"], ["rejected"]])
    assert record.metadata == {}


def test_prompts_with_tools_are_recognised() -> None:
    calling = [ASK, with_calls(None, call("f", {})), {"role": "tool", "content": "7"}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    record = record_of({"messages": calling, "tools": tools}, "prompts")
    assert turns(record) == [*ONCE, f"assistant: ```tool_calls\n{F}\n```", "tool: 7"]
    assert record.metadata["tools"] == tools


def test_input_and_history_and_system_prompt_of_an_instruction_are_kept() -> None:
    row = {
        "instruction": "Name",
        "input": "a river.",
        "history": [["Hi", "Ho"]],
        "system_prompt": "Be brief.",
    }
    expected = ["system: Be brief.", "user: Hi", "assistant: Ho", "user: Name\n\na river."]
    record = record_of({**row, "chosen": "a", "rejected": "b"}, "trl-preference")
    assert (turns(record), record.metadata) == (expected, {})
    record = record_of({**row, "output": ["a", "b"]}, "ranked-outputs")
    assert (turns(record), record.metadata) == (expected, {})


SIMILAR = {"chosen": "The capital of Peru is Lima.", "rejected": "The capital of Peru is Cusco."}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"user": "What is the capital?"}, "user"),
        ({"text": "Peru?"}, "text"),
        ({"post": "A trip"}, "post"),
        ({"userRequest": "What is the capital?", "post": "A trip"}, "userRequest, post"),
        ({"frage": "Wie heißt die Hauptstadt?"}, "frage"),
        ({"x": "I would like to know the capital"}, "x"),
    ],
)
def test_common_start_is_not_the_prompt_if_another_field_may_contain_the_prompt(
    row: dict[str, Any], named: str
) -> None:
    for sides in (SIMILAR, {"chosen": [YES], "rejected": [NO]}):
        reason = parsed({**row, **sides}, "trl-preference")[2]
        assert reason.startswith(f"there is no known prompt field, but {named} could contain the prompt;")


@pytest.mark.parametrize("value", ["", None, []])
def test_common_start_of_answers_is_not_the_prompt_if_the_prompt_field_is_empty(value: Any) -> None:
    reason = parsed({"prompt": value, **SIMILAR}, "trl-preference")[2]
    assert reason.startswith("prompt is empty; fill it in")


@pytest.mark.parametrize(
    "row",
    [
        {"source": "made"},
        {"user": "u17"},
        {"user_id": "worker seven"},
        {"prompt_id": "number seven"},
        {"reason": "The chosen answer names the right city"},
        {"chosen_text": "The capital of Peru is Lima."},
        {"score": 3, "tags": ["a", "b"]},
    ],
)
def test_other_fields_of_a_row_with_an_implicit_prompt_are_metadata(row: dict[str, Any]) -> None:
    record = record_of({**row, **SIMILAR}, "trl-preference")
    assert (turns(record), record.metadata) == (["user: The capital of Peru is"], row)


@pytest.mark.parametrize("role", ["Human", "USER", "user ", "prompter"])
def test_prompts_and_responses_accept_the_same_spellings_of_roles(role: str) -> None:
    ask = {"role": role, "content": "Name a river."}
    assert turns(record_of(pair(prompt=[ask]), "trl-preference")) == ONCE
    assert turns(record_of(both(ask), "trl-preference")) == ONCE
    assert turns(record_of({"messages": [ask], "responses": ["a", "b"]}, "rankloop")) == ONCE


def test_error_for_an_unknown_role_states_its_path() -> None:
    reason = parsed(pair(prompt=[{"role": "narrator", "content": "x"}]))[2]
    assert reason == "prompt.0.role is 'narrator'; it must be one of system, user, assistant, tool"


def test_single_turns_are_read_as_conversations() -> None:
    row = {"conversations": [{"from": "human", "value": "Name a river."}]}
    sides = {"chosen": {"from": "gpt", "value": "Danube."}, "rejected": {"from": "gpt", "value": "Everest."}}
    for given in (sides, {side: json.dumps(value) for side, value in sides.items()}):
        record = record_of({**row, **given}, "trl-preference")
        assert (turns(record), order(record)) == (ONCE, [["Danube."], ["Everest."]])


def test_answers_that_are_json_stay_text() -> None:
    texts = [
        '[{"value": 3}]',
        '{"content": "x"}',
        '[{"name": "f"}]',
        '[{"name": "f"',
        '{"role": "x"',
        '{"role": "x"}',
    ]
    for text in texts:
        row = {"prompt": "As JSON, please", "chosen": text, "rejected": "No."}
        assert order(record_of(row, "trl-preference")) == [[text], ["No."]]


def test_damaged_list_of_turns_is_rejected() -> None:
    row = {"prompt": "Name a river.", "chosen": '[{"role": "assistant", "con', "rejected": json.dumps([NO])}
    reason = parsed(row)[2]
    assert reason.startswith("chosen is ")
    assert "valid JSON" in reason
    named = json.dumps([{"name": "ann", **ASK}])
    assert turns(record_of(pair(prompt=named), "trl-preference")) == ONCE


TEXT = {"type": "text", "text": "Name", "image": None, "mimeType": None}


def test_text_parts_are_joined_in_prompts_and_responses() -> None:
    ask = {"role": "user", "content": [TEXT, {"type": "text", "text": "a river."}]}
    yes = {"role": "assistant", "content": [{"type": "output_text", "text": "Danube."}]}
    for row in (pair(prompt=[ask], chosen=[yes]), {"chosen": [ask, yes], "rejected": [ask, NO]}):
        record = record_of(row, "trl-preference")
        assert turns(record) == ["user: Name\n\na river."]
        assert order(record)[0] == ["Danube."]
    record = record_of(battle("tie", conversation_a=[ask, yes], conversation_b=[ask, NO]), "arena-battles")
    assert turns(record) == ["user: Name\n\na river."]
    row = {"messages": [ask], "responses": [{"content": [TEXT]}, "b"], "tiers": [[0], [1]]}
    assert order(record_of(row, "rankloop")) == [["Name"], ["b"]]


@pytest.mark.parametrize(
    ("part", "type"),
    [
        ({"type": "image_url", "image_url": {"url": "x"}}, "'image_url'"),
        ({"type": "input_audio", "input_audio": {}}, "'input_audio'"),
        ({"type": "file"}, "'file'"),
        ({"type": "text", "text": "", "image": "x.png"}, "'image'"),
        ({"image": "x.png"}, "'image'"),
    ],
)
def test_part_that_is_not_text_is_rejected_with_its_type_and_path(part: dict[str, Any], type: str) -> None:
    ask = {"role": "user", "content": [TEXT, part]}
    reason = f".0.content.1 is a part of type {type}; only text parts can be imported"
    assert parsed(pair(prompt=[ask]))[2] == f"prompt{reason}"
    assert parsed({"chosen": [ask, YES], "rejected": [ask, NO]})[2] == f"chosen{reason}"
    row = battle("tie", conversation_a=[ask, YES], conversation_b=[ask, NO])
    assert parsed(row)[2] == f"conversation_a{reason}"


@pytest.mark.parametrize("winner", ["tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "Both_Bad"])
def test_every_spelling_of_a_tie_of_bad_responses_is_read(winner: str) -> None:
    record = record_of(battle(winner), "arena-battles")
    assert (record.rankings[0].tiers, record.rankings[0].all_bad) == (((0, 1),), True)


@pytest.mark.parametrize(
    ("known", "expected"),
    [({"id": "b1"}, "b1"), ({"id": "b1", "judge": "j"}, ""), ({"question_id": 7}, "7"), ({}, "")],
)
def test_battles_without_a_judge_are_distinguished_by_their_id(known: dict[str, Any], expected: str) -> None:
    anonymous = {key: value for key, value in battle("tie").items() if key not in {"judge", "question_id"}}
    assert record_of({**anonymous, **known}, "arena-battles").rankings[0].external_id == expected


def test_battle_with_a_system_turn_is_truncated_after_the_judged_turn() -> None:
    more = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "Rhine."}]
    row = battle("model_a", conversation_a=[SYSTEM, ASK, YES, *more], conversation_b=[SYSTEM, ASK, NO, *more])
    record = record_of(row, "arena-battles")
    assert (turns(record), order(record)) == (WITH_SYSTEM, [["Danube."], ["Everest."]])


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


F, G = ('{"arguments": {}, "name": "f"}', '{"arguments": {}, "name": "g"}')


def with_calls(content: str | None, *calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


@pytest.mark.parametrize(
    ("turn", "text"),
    [
        (with_calls(None, call("f", {"b": 1, "a": "ü"})), '{"arguments": {"a": "ü", "b": 1}, "name": "f"}'),
        (with_calls("", call("f", '{"b": 1, "a": 2}')), '{"arguments": {"a": 2, "b": 1}, "name": "f"}'),
        (with_calls(None, call("f", '{"b": 1')), r'{"arguments": "{\"b\": 1", "name": "f"}'),
        (with_calls(None, call("f", {"a": 1, "b": None}, id="c1")), '{"arguments": {"a": 1}, "name": "f"}'),
        (with_calls(None, {"name": "f", "arguments": {}}), F),
        (with_calls(None, call("f", {}), call("g", {})), f"{F}\n{G}"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, F),
        ({"role": "assistant", "content": None, "tool_calls": '[{"name": "f"}]'}, '{"name": "f"}'),
    ],
)
def test_tool_calls_in_any_notation_become_the_same_text(turn: dict[str, Any], text: str) -> None:
    record = record_of(pair(prompt="Name a river.", chosen=[turn]), "trl-preference")
    assert order(record)[0] == [f"```tool_calls\n{text}\n```"]


def test_text_precedes_the_tool_calls() -> None:
    record = record_of(
        pair(prompt="Name a river.", chosen=[with_calls("Wait.", call("f", {}))]), "trl-preference"
    )
    assert order(record)[0] == ['Wait.\n\n```tool_calls\n{"arguments": {}, "name": "f"}\n```']
    row = {"prompt": "Q", "responses": [with_calls(None, call("f", {})), with_calls(None, call("g", {}))]}
    texts = [response.text for response in record_of(row, "rankloop").responses]
    assert texts == [f"```tool_calls\n{line}\n```" for line in (F, G)]


def test_tool_calls_that_differ_only_in_their_id_are_the_same_reply() -> None:
    row = pair(prompt="Name a river.", chosen=[with_calls(None, call("f", {}, id="1"))])
    record = record_of({**row, "rejected": [with_calls(None, call("f", {}, id="2"))]}, "trl-preference")
    assert names(record) == ["identical-pair"]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (3, "chosen.0.tool_calls.0 must be an object with a name and arguments, not a number"),
        ({"type": "function"}, "chosen.0.tool_calls.0 has no function name"),
        ("{", "chosen.0.tool_calls.0 is neither valid JSON nor a Python list"),
    ],
)
def test_tool_call_without_a_name_is_rejected(call: Any, reason: str) -> None:
    assert parsed(pair(prompt="Name a river.", chosen=[with_calls(None, call)]))[2].startswith(reason)


def test_additional_fields_of_a_turn_are_kept_with_its_index() -> None:
    ask, yes = {**ASK, "name": "ann", "weight": None}, {**YES, "num_tokens": 3}
    record = record_of({"chosen": [SYSTEM, ask, yes], "rejected": [SYSTEM, ask, NO]}, "trl-preference")
    assert record.metadata == {"turn_fields": [{"turn": 1, "name": "ann"}]}
    assert {response.text: response.metadata for response in record.responses} == {
        "Danube.": {"turn_fields": [{"turn": 0, "num_tokens": 3}]},
        "Everest.": {},
    }
    record = record_of({"system": "Be brief.", "chosen": [ask, yes], "rejected": [ask, NO]}, "trl-preference")
    assert record.metadata == {"turn_fields": [{"turn": 1, "name": "ann"}]}
    record = record_of({"messages": [ask], "responses": ["a", "b"]}, "rankloop")
    assert record.metadata == {"turn_fields": [{"turn": 0, "name": "ann"}]}
    record = record_of(battle("tie", conversation_a=[ask, yes], conversation_b=[ask, NO]), "arena-battles")
    assert record.metadata == {"turn_fields": [{"turn": 0, "name": "ann"}]}
    assert record.responses[0].metadata == {"turn_fields": [{"turn": 0, "num_tokens": 3}]}
