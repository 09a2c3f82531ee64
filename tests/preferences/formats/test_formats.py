"""A file's format is recognised, every row yields a record or an error, and size limits are enforced."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preferences import quirks
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.containers import limits
from preferences.formats.dialogues import dialogue_of
from preferences.formats.preview import preview_of
from preferences.formats.recognition import NumberedRecords, read_records
from preferences.quirks import Quirk
from preferences.records import FormatError, Record
from preferences.text import MAX_TEXT_CHARACTERS
from tests.annotation.real_data import HH_FILES, hh_file, real_file

NATIVE = {
    "prompt": "Say hello.",
    "responses": ["Hello!", {"text": "Hi.", "model": "m1"}],
    "tiers": [[1], [0]],
}


def lines(*rows: Any) -> io.BytesIO:
    raw = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return io.BytesIO(b"\n".join(raw) + b"\n")


def read(stream: io.BytesIO, format_name: str | None = None) -> tuple[str, list[NumberedRecords]]:
    found, records = read_records(stream, format_name)
    return found.name, list(records)


def one(item: NumberedRecords) -> Record | None:
    """The only record of a line, or None if the line has no record."""
    assert len(item.records) <= 1
    record = item.records[0] if item.records else None
    assert record is None or isinstance(record, Record)
    return record


def only_record(row: dict[str, Any]) -> Record:
    _, (numbered,) = read(lines(row), "rankloop")
    record = one(numbered)
    assert record is not None, numbered.reason
    return record


def only_reason(row: dict[str, Any], format_name: str = "rankloop") -> str:
    _, (numbered,) = read(lines(row), format_name)
    assert one(numbered) is None
    return numbered.reason


@pytest.mark.parametrize("name", HH_FILES)
def test_dialogues_of_every_hh_row_are_restored_byte_for_byte(name: str) -> None:
    rows, identical = HH_FILES[name]
    with hh_file(name).open("rb") as stream:
        found, records = read_records(stream)
        numbered = list(records)
    assert found.name == "hh-rlhf"
    assert len(numbered) == rows
    odd: Counter[Quirk] = Counter()
    originals = [json.loads(line) for line in gzip.decompress(hh_file(name).read_bytes()).splitlines()]
    for item, original in zip(numbered, originals, strict=True):
        record = one(item)
        assert record is not None, item.reason
        odd.update(record.quirks)
        assert (record.ranking is None) == (quirks.IDENTICAL_PAIR in record.quirks)
        (best,), (worst,) = record.ranking.tiers if record.ranking else ((0,), (0,))
        assert dialogue_of(record.messages, record.responses[best].text) == original["chosen"]
        assert dialogue_of(record.messages, record.responses[worst].text) == original["rejected"]
        assert record.messages[-1]["role"] == "user"
    assert odd[quirks.IDENTICAL_PAIR] == identical


def test_position_of_an_hh_response_does_not_reveal_the_winner() -> None:
    with hh_file("helpful-base.train").open("rb") as stream:
        rankings = [one(item).ranking for item in read_records(stream)[1] if one(item)]
    first = sum(ranking.tiers[0] == (0,) for ranking in rankings if ranking)
    assert 0.45 < first / len(rankings) < 0.55


def dialogue(*turns: tuple[str, str]) -> str:
    return "".join(f"\n\n{role}: {text}" for role, text in turns)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt", "replies", "quirk"),
    [
        pytest.param(
            dialogue(("Human", "Who says Human: so?"), ("Assistant", "I")),
            dialogue(("Human", "Who says Human: so?"), ("Assistant", "You")),
            ["Who says Human: so?"],
            {"I", "You"},
            quirks.ROLE_IN_TEXT,
            id="Human: inside a turn is text",
        ),
        pytest.param(
            dialogue(("Human", "Q"), ("Assistant", "A"), ("Assistant", "B")),
            dialogue(("Human", "Q"), ("Assistant", "C")),
            ["Q"],
            {"A\n\nAssistant: B", "C"},
            quirks.RUNS_ON,
            id="differing histories",
        ),
        pytest.param(
            dialogue(("Human", "Q"), ("Human", "R"), ("Assistant", "A")),
            dialogue(("Human", "Q"), ("Human", "R"), ("Assistant", "B")),
            ["Q", "R"],
            {"A", "B"},
            quirks.NOT_ALTERNATING,
            id="turns that don't alternate",
        ),
        pytest.param(
            dialogue(("Human", "Q"), ("Assistant", "")),
            dialogue(("Human", "Q"), ("Assistant", "B")),
            ["Q"],
            {"", "B"},
            quirks.EMPTY_REPLY,
            id="empty reply",
        ),
        pytest.param(
            dialogue(("Human", "Q"), ("Assistant", "A")),
            dialogue(("Human", "Q"), ("Assistant", "A")),
            ["Q"],
            {"A"},
            quirks.IDENTICAL_PAIR,
            id="identical pair",
        ),
    ],
)
def test_unusual_hh_rows_are_kept_and_reported_as_quirks(
    chosen: str, rejected: str, prompt: list[str], replies: set[str], quirk: Quirk
) -> None:
    name, (numbered,) = read(lines({"chosen": chosen, "rejected": rejected}))
    assert name == "hh-rlhf"
    record = one(numbered)
    assert record is not None
    assert [message["content"] for message in record.messages] == prompt
    assert {response.text for response in record.responses} == replies
    assert quirk in record.quirks


def test_hh_dialogues_without_a_shared_question_are_refused() -> None:
    row = {
        "chosen": dialogue(("Human", "Q"), ("Assistant", "A")),
        "rejected": dialogue(("Human", "Another"), ("Assistant", "A")),
    }
    assert "have no common prompt" in only_reason(row, "hh-rlhf")


def test_oasst_file_is_read_as_177_prompts_with_up_to_8_responses() -> None:
    with real_file("kway/oasst-8-models.jsonl.gz").open("rb") as stream:
        found, records = read_records(stream)
        numbered = list(records)
    assert found.name == "oasst-models"
    assert len(numbered) == 177
    assert all(one(item) is not None and 2 <= len(one(item).responses) <= 8 for item in numbered)
    assert {response.model != "" for item in numbered if one(item) for response in one(item).responses} == {
        True
    }


def test_prompts_file_is_read_as_1033_prompts_with_ids_as_metadata() -> None:
    with real_file("prompts/instructions.jsonl.gz").open("rb") as stream:
        found, records = read_records(stream)
        numbered = [one(item) for item in records]
    assert found.name == "prompts"
    assert len(numbered) == 1033
    assert all(record is not None and record.metadata.keys() >= {"id", "source"} for record in numbered)


def test_each_example_is_recognised_as_its_own_format() -> None:
    for known in IMPORT_FORMATS.values():
        name, _ = read(io.BytesIO(known.example.encode()))
        assert name == known.name, known.example


def test_error_for_an_object_on_several_lines_explains_the_format() -> None:
    data = json.dumps({"data": [{"prompt": "Q", "winner": "A"}]}, indent=1).encode()
    with pytest.raises(FormatError, match="Each line must contain one JSON object"):
        read_records(io.BytesIO(data))


def test_unknown_file_is_refused_with_a_list_of_known_formats() -> None:
    rows = lines({"transcript": "Human: Q", "rating": 3.0, "task_description": "…"})
    with pytest.raises(FormatError, match="not recognised") as refusal:
        read_records(rows)
    assert "transcript, rating, task_description" in str(refusal.value)
    assert all(known in str(refusal.value) for known in IMPORT_FORMATS)


def test_jsonl_and_gzip_and_csv_and_parquet_files_contain_the_same_rows() -> None:
    rows = [
        {
            "prompt": f"Question {n},\nwith “quotes”",
            "responses": ["one", "two"],
            "tiers": [[1], [0]],
            "annotator": "kim",
        }
        for n in range(3)
    ]
    csv_text = "prompt,response_1,response_2,tiers,annotator\n" + "".join(
        f'"{row["prompt"]}",one,two,"[[1], [0]]",kim\n' for row in rows
    )
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), parquet)
    parquet.seek(0)
    _, expected = read(lines(*rows))
    records = [one(item) for item in expected]
    assert all(records)
    for stream in (
        io.BytesIO(gzip.compress(lines(*rows).read())),
        io.BytesIO(b"\xef\xbb\xbf" + csv_text.encode()),
        io.BytesIO(gzip.compress(csv_text.encode())),
        parquet,
    ):
        name, found = read(stream)
        assert name == "rankloop"
        assert [one(item) for item in found] == records


def test_rank_numbers_become_tiers() -> None:
    record = only_record({"prompt": "Q", "responses": ["a", "b", "c"], "ranking": [2, 1, 2]})
    assert record.ranking is not None
    assert record.ranking.tiers == ((1,), (0, 2))


def test_bad_rows_are_reported_and_good_rows_are_read() -> None:
    invalid_utf8 = json.dumps(NATIVE).encode().replace(b"hello", b"h\xffllo")
    surrogate = b'{"prompt": "\\ud800", "responses": ["a", "b"]}'
    deep = b'{"prompt": "Q", "responses": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    name, found = read(
        lines(
            NATIVE,
            b"{not json",
            invalid_utf8,
            NATIVE,
            b"[1]",
            surrogate,
            deep,
            b"",
            b'{"prompt": NaN}',
            NATIVE,
        )
    )
    assert name == "rankloop"
    reasons = {item.line: item.reason for item in found if one(item) is None}
    assert [item.line for item in found if one(item)] == [1, 4, 10]
    assert "not valid JSON" in reasons[2]
    assert "not UTF-8" in reasons[3]
    assert "not a JSON object" in reasons[5]
    assert "not valid Unicode" in reasons[6]
    assert "not valid JSON" in reasons[7]
    assert "a NaN or Infinity in the row was treated as missing" in reasons[9]
    assert 8 not in reasons  # a blank line is not a row


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": None}, "prompt is missing"),
        ({"prompt": "   "}, "prompt is empty"),
        ({"prompt": 7}, "prompt must be text"),
        ({"prompt": "a\x00b"}, "NUL"),
        ({"prompt": "x" * (MAX_TEXT_CHARACTERS + 1)}, "the maximum is"),
        (
            {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
            "ends with an assistant",
        ),
        ({"messages": [{"role": "robot", "content": "Q"}]}, "messages.0.role"),
        ({"messages": []}, "messages is empty"),
        ({"responses": ["one"]}, "at least 2"),
        ({"responses": ["r"] * 11}, "at most 10"),
        ({"responses": "two"}, "responses must be a list, not the text 'two'"),
        ({"responses": ["a", 3]}, "responses.1"),
        ({"responses": ["a", {"text": "b\x00"}]}, "responses.1.text contains a NUL"),
        ({"responses": ["a", {"text": "b", "model": "m" * 300}]}, "responses.1.model"),
        ({"tiers": [[0], [0, 1]]}, "twice"),
        ({"tiers": [[0], [2]]}, "refers to response 2"),
        ({"tiers": [[0], []]}, "empty group"),
        ({"tiers": [[True], [0]]}, "refers to response True"),
        ({"ranking": [1, 2]}, "both given"),
        ({"tiers": None, "ranking": [0, 1]}, "1 is best"),
        ({"tiers": None, "ranking": [1]}, "1 numbers for 2 responses"),
        ({"strength": 2.5}, "strength must be a whole number"),
        ({"strength": 99_999}, "strength is 99999"),
        ({"not_rankable": True}, "but there is a ranking"),
        ({"ratings": {"9": {"help": 1}}}, "ratings refers to response '9'"),
        ({"gold_tiers": [[0]]}, "gold_tiers leaves out"),
        ({"metadata": {"note": "a\x00"}}, "metadata.note contains a NUL"),
        ({"metadata": {"note": "x" * 70_000}}, "metadata takes"),
    ],
)
def test_invalid_field_is_named_with_the_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in only_reason({**NATIVE, **change})


def test_unknown_fields_are_kept_as_metadata() -> None:
    record = only_record({**NATIVE, "topic": "greetings", "metadata": {"level": 1}})
    assert record.metadata == {"topic": "greetings", "level": 1}


@pytest.mark.parametrize("line", [b"a,b,c\n1,2,3", b"\x89PNG\r\n\x1a\n", b"hello"])
def test_unknown_container_is_refused(line: bytes) -> None:
    with pytest.raises(FormatError, match="Supported formats are JSON Lines"):
        read(io.BytesIO(line))


@pytest.mark.parametrize("indent", [None, 2])
def test_json_array_is_read_row_by_row(indent: int | None) -> None:
    rows = [{**NATIVE, "prompt": f"Question {n}: “ü”" + "x" * 1000 * n} for n in range(200)]
    _, expected = read(lines(*rows))
    name, found = read(io.BytesIO(json.dumps(rows, indent=indent, ensure_ascii=False).encode()))
    assert name == "rankloop"
    assert [item.records for item in found] == [item.records for item in expected]
    assert [item.line for item in found] == list(range(1, 201))


@pytest.mark.parametrize("data", [b"", b"  \n\n", gzip.compress(b"", mtime=0)])
def test_empty_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="empty"):
        read(io.BytesIO(data))


def test_broken_csv_rows_are_reported_and_others_are_read() -> None:
    data = b'prompt,response_1,response_2\nQ,a,b\nQ2,a\nQ3,"a"x,b\nQ4,caf\xff,b\nQ5,a,b\n'
    _, found = read(io.BytesIO(data))
    reasons = {item.line: item.reason for item in found if one(item) is None}
    assert [item.line for item in found if one(item)] == [2, 6]
    assert "2 cells, but the header has 3" in reasons[3]
    assert "not valid CSV" in reasons[4]
    assert "not UTF-8: byte 0xff is invalid here" in reasons[5]
    assert "save it as UTF-8" in reasons[5]


def test_overlong_line_is_skipped_and_never_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROW_BYTES", 1000)
    _, found = read(lines(NATIVE, {"prompt": "x" * 300_000}, NATIVE))
    assert [one(item) is not None for item in found] == [True, False, True]
    assert "longer than 1,000 bytes" in found[1].reason


def test_gzip_bomb_is_stopped_and_earlier_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_EXPANDED_BYTES", 2**20)
    bomb = gzip.compress(json.dumps(NATIVE).encode() + b"\n" + b" " * (64 * 2**20))
    _, found = read(io.BytesIO(bomb))
    assert one(found[0]) is not None
    assert "times its size" in found[-1].reason
    assert "reading stopped" in found[-1].reason


def test_complete_rows_of_a_truncated_gzip_file_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(lines(*[{**NATIVE, "prompt": f"Question {n}"} for n in range(20_000)]).read())
    _, found = read(io.BytesIO(packed[: len(packed) // 2]))
    assert len(found) > 1000
    assert all(one(item) for item in found[:-1])
    assert "is truncated or damaged" in found[-1].reason


def test_parquet_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_EXPANDED_BYTES", 2**16)
    stream = io.BytesIO()
    table = pa.table({"prompt": ["x" * 1000] * 100_000})
    pq.write_table(table, stream, compression="zstd", use_dictionary=False)
    stream.seek(0)
    with pytest.raises(FormatError, match="would unpack to"):
        read(stream)


def test_damaged_parquet_is_refused() -> None:
    with pytest.raises(FormatError, match="can't be opened"):
        read(io.BytesIO(b"PAR1 and nothing more"))


def test_invalid_utf8_in_a_parquet_cell_affects_only_its_row() -> None:
    texts = pa.array([b"good", b"b\xffd", b"fine"]).cast(pa.binary())
    broken = pa.StringArray.from_buffers(3, *texts.buffers()[1:])
    responses = pa.array([["a", "b"]] * 3)
    stream = io.BytesIO()
    pq.write_table(pa.table({"prompt": broken, "responses": responses}), stream)
    stream.seek(0)
    _, found = read(stream)
    assert [one(item) is not None for item in found] == [True, False, True]
    assert "not UTF-8" in found[1].reason


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["jsonl", "array", "csv"])
def test_preview_reads_only_the_beginning_of_a_file(kind: str, packed: bool) -> None:
    texts = random.Random(1).randbytes(3_000_000).hex()
    rows = [
        {"prompt": f"Q{n}", "chosen": texts[n * 600 : n * 600 + 600], "rejected": "b"} for n in range(9000)
    ]
    if kind == "csv":
        text = "prompt,chosen,rejected\n" + "\n".join(",".join(row.values()) for row in rows)
    else:
        text = json.dumps(rows) if kind == "array" else "\n".join(map(json.dumps, rows))
    data = gzip.compress(text.encode(), 1) if packed else text.encode()
    stream = io.BytesIO(data)
    assert len(preview_of(stream).records) == 3
    assert stream.tell() < len(data) / 10
