"""Each file in a published schema of a dataset or annotation tool is either read or refused with a reason.

docs/real-files.md describes every schema that these tests use.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import FormatError, RankingRecord, Record
from tests.preferences.formats.shapes.read import DOG, READ, Read, Row
from tests.preferences.formats.shapes.refused import REFUSED, Refused

PAGE = Path(__file__).parents[3] / "docs" / "real-files.md"


def lines_of(data: Row | str, mapping: Mapping[str, str] | None = None) -> tuple[str, list[NumberedRecords]]:
    text = data if isinstance(data, str) else json.dumps(data)
    found, lines = read_records(io.BytesIO(text.encode()), mapping=mapping)
    return found.name, list(lines)


def record_of(data: Row | str, mapping: Mapping[str, str] | None = None) -> Record:
    (line,) = lines_of(data, mapping)[1]
    assert line.reason == ""
    record = line.records[0]
    assert isinstance(record, Record)
    return record


def order(record: Record) -> str:
    tiers = record.rankings[0].tiers
    return " > ".join(" = ".join(record.responses[index].text for index in tier) for tier in tiers)


def kept(record: Record) -> dict[str, Any]:
    """Maps the name of each field that is kept from a row to the field's value. `models` lists the models of
    the ranked responses, best first."""
    ranking = record.rankings[0]
    placed = [index for tier in ranking.tiers for index in tier]
    opening = record.messages[0]
    return {
        **record.metadata,
        **ranking.metadata,
        "models": [record.responses[index].model for index in placed],
        "ratings": ranking.ratings,
        "strength": ranking.strength,
        "all_bad": ranking.all_bad,
        "comment": ranking.comment,
        "external_id": ranking.external_id,
        "year": ranking.given_at.year if ranking.given_at else None,
        "turns": len(record.messages),
        "system": opening["content"] if opening["role"] == "system" else "",
    }


@pytest.mark.parametrize("shape", READ.values(), ids=READ.keys())
def test_file_in_a_published_schema_is_read(shape: Read) -> None:
    assert lines_of(shape.data)[0] == shape.format
    record = record_of(shape.data)
    assert order(record) == shape.order
    assert record.rankings[0].annotator == shape.annotator
    assert record.messages[-1] == {"role": "user", "content": shape.prompt}
    found = kept(record)
    assert {name: found.get(name) for name in shape.kept} == shape.kept


@pytest.mark.parametrize("shape", REFUSED.values(), ids=REFUSED.keys())
def test_unsupported_file_is_refused_with_the_expected_reason(shape: Refused) -> None:
    assert shape.reason in refusal(shape.data)


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, id=name) for name, shape in REFUSED.items() if shape.mapping],
)
def test_refused_file_can_be_read_with_a_mapping(shape: Refused) -> None:
    record = record_of(shape.data, shape.mapping)
    assert order(record) == shape.order
    assert record.messages == ({"role": "user", "content": "Best pet?"},)


def test_every_schema_in_the_tests_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in (*READ, *REFUSED) if f"| {name} |" not in page] == []
    mapped = {name: shape.mapping for name, shape in REFUSED.items() if shape.mapping}
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line[:2] == "| "}
    for name, mapping in mapped.items():
        assert [key for key, value in mapping.items() if f"--map {key}={value}" not in rows[name]] == []


def refusal(data: Row | str) -> str:
    """The reason why the file, or its row, is refused."""
    try:
        _, (line,) = lines_of(data)
    except FormatError as error:
        return str(error)
    assert line.records == ()
    return line.reason


def ranking_of(row: Row) -> RankingRecord | None:
    return next(iter(record_of(row).rankings), None)


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_prodigy_example_without_a_vote_becomes_an_open_task_with_a_notice(answer: str) -> None:
    row = READ["Prodigy (choice)"].data
    assert isinstance(row, dict)
    record = record_of({**row, "answer": answer, "_annotator_id": "ann", "_timestamp": 1711690794})
    assert record.rankings == ()
    kept = {"answer": answer, "_annotator_id": "ann", "_timestamp": 1711690794}
    assert {name: record.metadata[name] for name in kept} == kept
    assert [quirk.name for quirk in record.quirks] == ["answer-left-out"]


def test_prodigy_example_with_several_options_is_refused() -> None:
    row = READ["Prodigy (choice)"].data
    assert isinstance(row, dict)
    assert "the field accept lists 2 options" in refusal({**row, "accept": ["a", "b"]})
    assert "the field accept lists 'c'; the options are a, b" in refusal({**row, "accept": ["c"]})


def test_prodigy_options_without_distinct_ids_are_refused() -> None:
    for options, reason in (
        ([{"text": "Cat"}, {"id": "b", "text": "Dog"}], "options.0 has no id"),
        ([{"id": None, "text": "Cat"}, {"id": "b", "text": "Dog"}], "options.0 has no id"),
        ([{"id": "b", "text": "Cat"}, {"id": "b", "text": "Dog"}], "two options have the same id"),
    ):
        data = json.dumps({"text": "Best pet?", "options": options, "accept": ["b"]}).encode()
        (line,) = read_records(io.BytesIO(data), "prodigy")[1]
        assert reason in line.reason


def test_vote_can_name_a_response_in_a_list_by_its_id() -> None:
    answers = [{"id": 41, "text": "Cat"}, {"id": 42, "text": "Dog"}]
    row = {"question": "Best pet?", "answers": answers}
    for vote in ({"accepted_answer_id": 42}, {"winner": "42"}, {"accept": ["42"]}):
        assert order(record_of({**row, **vote})) == DOG
    assert "accept (it names 2 responses, but not their order)" in refusal({**row, "accept": ["41", "42"]})


def test_chosen_flag_in_a_list_of_responses_is_read_as_a_vote() -> None:
    def row(*flags: Any) -> Row:
        texts = zip(("Cat", "Dog"), flags, strict=True)
        return {"prompt": "Best pet?", "responses": [{"text": text, "chosen": flag} for text, flag in texts]}

    assert order(record_of(row(False, True))) == DOG
    assert order(record_of(row(0, 1))) == DOG
    assert ranking_of(row(False, False)) is None
    assert "chosen is true for 2 responses" in refusal(row(True, True))
    assert "chosen ('maybe' is neither true nor false)" in refusal(row("maybe", None))
    assert "vote" not in json.dumps(record_of(row(None, None)).metadata)


PAIR = {"prompt": "Best pet?", "response_a": "Cat", "response_b": "Dog"}
LIST = {"prompt": "Best pet?", "responses": ["Cat", "Dog"]}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (
            {**PAIR, "annotations": [{"worker": "w1", "choice": "A"}]},
            "annotations (choice is inside an object",
        ),
        ({**PAIR, "annotations": [{"worker": "w1", "said": "B"}]}, "annotations (said is inside an object"),
        ({**LIST, "annotations": [{"ranking": [2, 1]}]}, "annotations (ranking is inside an object"),
        ({**PAIR, "metadata": {"winner": "A"}}, "metadata (winner is inside an object"),
        ({**PAIR, "votes": {"a": 3, "b": 1}}, "votes (a is inside an object"),
        ({**PAIR, "votes_a": 3, "votes_b": 1}, "votes_a (it isn't known whether a higher"),
        ({**PAIR, "helpfulness_a": 3, "helpfulness_b": 5}, "helpfulness_b (it isn't known whether a higher"),
        ({**PAIR, "a": 1, "b": 0}, "a (it isn't known whether a higher"),
        ({**LIST, "likes": [3, 1]}, "likes (it isn't known whether a higher"),
        ({**LIST, "labels": ["B", "B"]}, "labels (it isn't known which response"),
        ({**LIST, "argmax": 1}, "argmax (it isn't known"),
        ({**PAIR, "result": "win"}, "result ('win' names no response)"),
    ],
)
def test_file_with_a_vote_that_cannot_be_interpreted_is_refused(row: Row, named: str) -> None:
    assert named in refusal(row)


def test_sentence_that_names_the_winner_is_read_as_a_vote_in_any_column() -> None:
    assert order(record_of({**PAIR, "annotation": "Response B is better"})) == DOG
    assert ranking_of({**PAIR, "annotation": "A better answer"}) is None


def test_metadata_of_open_tasks_is_not_read_as_a_vote() -> None:
    rows = {
        "temperature_a": 0.7,
        "temperature_b": 0.9,
        "tools": [{"name": "search", "parameters": {"query": "text"}}],
        "background": [{"role": "user", "content": "A"}],
        "votes": 2,
        "topic": {"area": "pets", "level": 3},
    }
    assert record_of({**PAIR, **rows}).rankings == ()


def test_number_in_an_unrelated_csv_column_is_not_read_as_a_vote() -> None:
    lines = lines_of("prompt,response_a,response_b,turn\nBest pet?,Cat,Dog,1\nBest toy?,Cat,Dog,2\n")[1]
    records = [record for line in lines for record in line.records if isinstance(record, Record)]
    assert [record.rankings for record in records] == [(), ()]


def test_ranks_in_a_csv_file_are_read() -> None:
    for header in ("prompt,response_1,response_2,rank_1,rank_2", "Frage,Antwort 1,Antwort 2,Rang 1,Rang 2"):
        assert order(record_of(f"{header}\nBest pet?,Cat,Dog,2,1\n")) == DOG


@pytest.mark.parametrize(("cell", "all_bad"), [("unentschieden", False), ("beide schlecht", True)])
def test_german_words_for_ties_are_read(cell: str, all_bad: bool) -> None:
    record = record_of(f"Eingabe;Ausgabe 1;Ausgabe 2;Gewinner;Annotator\nBest pet?;Cat;Dog;{cell};mia\n")
    assert (order(record), record.rankings[0].all_bad) == ("Cat = Dog", all_bad)


def test_columns_that_name_the_chosen_response_are_not_read_as_its_text() -> None:
    assert order(record_of({**PAIR, "chosen_response": "B", "rejected_response": "A"})) == DOG


def test_annotator_number_that_pandas_wrote_as_a_float_is_read_as_an_integer() -> None:
    ranking = ranking_of({**PAIR, "winner": "B", "Worker ID": 17.0})
    assert ranking is not None
    assert ranking.annotator == "17"
