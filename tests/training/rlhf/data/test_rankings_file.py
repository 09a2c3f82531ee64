"""A rankings file is read completely or rejected with an error that names its invalid rows. Omitted rows are
counted."""

from __future__ import annotations

import datetime
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from preferences.formats.snapshot_parquet import BEFORE, SCHEMA, write_rankings
from training.rlhf.data.files import REASONS, read_rankings
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking, RankingFileError

MESSAGES = [{"role": "user", "content": "Where is my parcel?"}]


def row(**changes: Any) -> dict[str, Any]:
    texts = ("On its way.", "No idea.", "Tomorrow.")
    return {
        "ranking_id": "r1",
        "prompt_hash": "",
        "split": "train",
        "messages": MESSAGES,
        "responses": [{"id": str(i), "text": text, "model": "m"} for i, text in enumerate(texts)],
        "tiers": [[2], [0, 1]],
        "strength": None,
        "annotator": "a1",
        "not_rankable": False,
        "weight": 1.0,
    } | changes


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n")
    return path


def left_out(**counts: int) -> dict[str, int]:
    return dict.fromkeys(REASONS, 0) | counts


def test_snapshot_is_read_with_all_its_columns(tmp_path: Path) -> None:
    """The file has the exporter's schema, including columns that training does not use."""
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    response = pa.struct([("id", pa.string()), ("text", pa.string()), ("model", pa.string())])
    schema = pa.schema([
        ("ranking_id", pa.string()), ("task_id", pa.string()), ("prompt_id", pa.string()),
        ("prompt_hash", pa.string()), ("split", pa.string()), ("messages", pa.list_(message)),
        ("responses", pa.list_(response)), ("tiers", pa.list_(pa.list_(pa.int32()))),
        ("strength", pa.int32()),
        ("annotator", pa.string()), ("source", pa.string()), ("round", pa.int32()),
        ("not_rankable", pa.bool_()), ("ratings", pa.string()), ("comment", pa.string()),
        ("weight", pa.float64()), ("created_at", pa.timestamp("us", tz="UTC")),
    ])  # fmt: skip
    extra = {
        "task_id": "t", "prompt_id": "p", "source": "browser", "round": 1, "ratings": "{}", "comment": "",
        "created_at": datetime.datetime.now(datetime.UTC),
    }  # fmt: skip
    rows = [
        row(strength=2, prompt_hash="h", split="heldout") | extra,
        row(not_rankable=True, tiers=[]) | extra,
    ]
    path = tmp_path / "rankings.parquet"
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    rankings = read_rankings(path)
    assert list(rankings) == [
        Ranking(
            messages=tuple(MESSAGES),
            responses=("On its way.", "No idea.", "Tomorrow."),
            tiers=((2,), (0, 1)),
            strength=2,
            annotator="a1",
            split="heldout",
            prompt_hash="h",
            ranking_id="r1",
            in_shown_order=True,
            round=1,
            source="browser",
        )
    ]
    assert rankings.left_out == left_out(not_rankable=1)
    assert rankings[0].tier_of_each() == [1, 1, 0]


def test_jsonl_rows_with_only_the_required_fields_are_read(tmp_path: Path) -> None:
    least = {"messages": MESSAGES, "responses": ["a", "b"], "tiers": [[1], [0]]}
    plain = jsonl(tmp_path / "rankings.jsonl", least, row())
    packed = tmp_path / "rankings.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_rankings(plain)) == list(read_rankings(packed))
    first, second = read_rankings(plain)
    assert (first.responses, first.weight, first.split) == (("a", "b"), 1.0, "train")
    assert first.prompt_hash == second.prompt_hash != ""  # both prompts are the same conversation


def test_empty_rows_are_counted_and_rankings_with_only_ties_are_kept(tmp_path: Path) -> None:
    lonely = row(responses=["only"], tiers=[[0]])
    tied = row(tiers=[[0, 1, 2]])
    rankings = read_rankings(jsonl(tmp_path / "r.jsonl", lonely, row(not_rankable=True, tiers=[]), tied))
    assert rankings.left_out == left_out(not_rankable=1, fewer_than_two_responses=1)
    assert [r.all_tied for r in rankings] == [True]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{not json", "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        (row(tiers=[[0], [1], [2], [2]]), "lists a response twice"),
        (row(tiers=[[0], [1], [7]]), "refers to response 7; responses are numbered 0 to 2"),
        (row(tiers=[[0, 1, 2], []]), "empty group"),
        (row(tiers=[["0"], [1], [2]]), "refers to response '0'"),
        (row(tiers={"best": 0}), "tiers must be a list"),
        (row(unranked=[1]), "`unranked` must list exactly the responses that are in no tier"),
        (row(responses="text"), "responses must be a list, not the text 'text'"),
        (row(responses=[{"id": "x"}, "b", "c"]), "responses.0.text must be text, not missing"),
        (row(messages=[]), "messages is empty"),
        (row(messages=[{"role": "user"}]), "messages.0.content must be text"),
        (row(weight=-1), "weight is -1"),
        (row(weight="heavy"), "weight is 'heavy'"),
        (row(strength="much"), "strength must be a whole number"),
        (row(strength=True), "strength must be a whole number"),
        (row(round="one"), "round must be a whole number"),
        (row(votes=1.5), "votes must be a whole number"),
        (row(weight=10**400), "it must be a finite number"),
        (row(responses=["good \ud83d", "b", "c"]), "lone surrogate"),
        (row(messages=[{"role": "user", "content": "\udc00"}]), "lone surrogate"),
    ],
)
def test_error_names_the_broken_row_and_the_reason(tmp_path: Path, broken: Any, reason: str) -> None:
    with pytest.raises(RankingFileError, match=rf"line 2: .*{reason}"):
        read_rankings(jsonl(tmp_path / "rankings.jsonl", row(), broken, row()))


def test_response_without_a_tier_ranks_below_all_tiers(tmp_path: Path) -> None:
    [ranking] = read_rankings(jsonl(tmp_path / "rankings.jsonl", row(tiers=[[1], [0]])))
    assert ranking.tier_of_each() == [1, 0, UNRANKED_TIER]


def test_tasks_without_a_ranking_are_counted(tmp_path: Path) -> None:
    rankings = read_rankings(jsonl(tmp_path / "rankings.jsonl", row(), row(tiers=None), row(tiers=[])))
    assert (len(rankings), rankings.left_out) == (1, left_out(no_ranking=2))


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt": "Where is my parcel?"}, {"prompt": "When?"}],
        [{"prompt": "Q", "responses": ["a", "b"]}, {"prompt": "R", "responses": ["c", "d"]}],
    ],
)
def test_file_without_rankings_is_refused(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    with pytest.raises(RankingFileError, match=r"prompts.jsonl contains no rankings to learn from"):
        read_rankings(jsonl(tmp_path / "prompts.jsonl", *rows))


def test_votes_that_refer_to_responses_in_another_file_are_refused(tmp_path: Path) -> None:
    vote = {"judge": "j", "model_a": "x", "model_b": "y", "question_id": 1, "winner": "model_a"}
    with pytest.raises(RankingFileError, match="line 1: this is a vote on responses in another file"):
        read_rankings(jsonl(tmp_path / "votes.jsonl", vote))


def test_byte_order_mark_and_crlf_do_not_change_the_rankings(tmp_path: Path) -> None:
    plain = jsonl(tmp_path / "rankings.jsonl", row(), row(strength=2))
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read_rankings(marked)) == list(read_rankings(plain))


def test_error_locates_the_damage_in_a_file(tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "rankings.jsonl", *[row(comment=str(n)) for n in range(50)]).read_bytes()
    (tmp_path / "other.jsonl").write_bytes(lines.replace(b"On its way", b"On its w\xe4y", 1))
    with pytest.raises(RankingFileError, match=r"other.jsonl has broken rows \(1\): line 1: not UTF-8: byte"):
        read_rankings(tmp_path / "other.jsonl")
    packed = tmp_path / "rankings.jsonl.gz"
    for damaged in (gzip.compress(lines)[:-40], gzip.compress(lines)[:60] + bytes(200)):
        packed.write_bytes(damaged)
        with pytest.raises(RankingFileError, match=r"rankings.jsonl.gz.*gzip data"):
            read_rankings(packed)
    packed.write_bytes(lines)  # recognised by content, not by name
    assert len(read_rankings(packed)) == 50
    table = tmp_path / "rankings.parquet"
    parquet.write_table(pa.Table.from_pylist([row(strength=1)] * 500), table)
    content = bytearray(table.read_bytes())
    content[4:400] = bytes(396)
    table.write_bytes(content)
    with pytest.raises(RankingFileError, match=r"rankings.parquet.*line 1: the Parquet data is damaged here"):
        read_rankings(table)


def test_only_the_first_broken_rows_are_listed(tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=r"broken rows \(20\): line 2: .*; line 6: .* \(and 15 more\)"):
        read_rankings(jsonl(tmp_path / "rankings.jsonl", row(), *["nonsense"] * 20))


def test_file_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match="no such file"):
        read_rankings(tmp_path / "absent.parquet")
    with pytest.raises(RankingFileError, match="Supported formats are JSON Lines, JSON arrays and CSV"):
        read_rankings(jsonl(tmp_path / "rankings.txt", "a,b"))
    with pytest.raises(RankingFileError, match="Parquet file can't be opened"):
        read_rankings(jsonl(tmp_path / "rankings.parquet", "PAR1"))
    other = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"x": [1]}), other)
    with pytest.raises(RankingFileError, match="not recognised: line 1 has the fields x"):
        read_rankings(other)


def test_all_bad_mark_of_a_ranking_is_read_from_a_snapshot(tmp_path: Path) -> None:
    plain = row()
    plain["responses"] = [one | {"sampling": "{}", "metadata": "{}"} for one in plain["responses"]]
    whole = dict.fromkeys(SCHEMA.names) | BEFORE | plain
    file = tmp_path / "rankings.parquet"
    write_rankings(file, [whole | {"ranking_id": f"r{n}", "all_bad": bool(n)} for n in range(2)])
    assert [ranking.all_bad for ranking in read_rankings(file)] == [False, True]


def test_unordered_all_bad_rows_are_omitted_and_unranked_responses_are_last(
    tmp_path: Path,
) -> None:
    rankings = read_rankings(
        jsonl(
            tmp_path / "rankings.jsonl",
            row(tiers=[[2]], unranked=[0, 1]),
            row(tiers=[], unranked=[], all_bad=True),
            row(tiers=[[2], [0, 1]], unranked=[], all_bad=True, weight=0.25),
        )
    )
    below = UNRANKED_TIER
    assert [ranking.tier_of_each() for ranking in rankings] == [[below, below, 0], [1, 1, 0]]
    assert [(ranking.weight, ranking.all_bad) for ranking in rankings] == [(1.0, False), (0.25, True)]
    assert rankings.left_out == left_out(all_bad=1)


@pytest.mark.parametrize("snapshot", [True, False])
def test_rankings_without_an_order_are_omitted_and_counted(tmp_path: Path, snapshot: bool) -> None:
    rated = row(ranking_id="r2", tiers=[], unranked=[], comment="Rude.", all_bad=False)
    if snapshot:
        path = tmp_path / "rankings.parquet"
        plain = [
            {**item, "responses": [{**one, "sampling": "{}", "metadata": "{}"} for one in item["responses"]]}
            for item in (row(), rated)
        ]
        write_rankings(path, [dict.fromkeys(SCHEMA.names) | BEFORE | item for item in plain])
    else:
        path = jsonl(tmp_path / "rankings.jsonl", row(), rated)
    rankings = read_rankings(path)
    assert len(rankings) == 1
    assert rankings.left_out == left_out(no_order=1)
    with pytest.raises(RankingFileError, match="no rankings to learn from"):
        read_rankings(jsonl(tmp_path / "statements.jsonl", rated, row(tiers=[], unranked=[])))


def said(content: str, role: str = "assistant") -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


@pytest.mark.parametrize(
    "pair",
    [
        {"prompt": MESSAGES, "chosen": said("Soon."), "rejected": said("No.")},
        {"prompt": MESSAGES[0]["content"], "chosen": "Soon.", "rejected": "No."},
        {"prompt": MESSAGES, "chosen": ["Soon."], "rejected": ["No."]},
        {"chosen": [*MESSAGES, *said("Soon.")], "rejected": [*MESSAGES, *said("No.")]},
        {
            "chosen": "\n\nHuman: Where is my parcel?\n\nAssistant: Soon.",
            "rejected": "\n\nHuman: Where is my parcel?\n\nAssistant: No.",
        },
    ],
    ids=["TRL", "TRL as text", "lists", "TRL, implicit prompt", "hh-rlhf"],
)
def test_pairs_in_other_formats_become_rankings_of_two_responses(
    pair: dict[str, Any], tmp_path: Path
) -> None:
    row = pair | {"margin": 2.0, "weight": 0.5}
    table = tmp_path / "pairs.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), table)
    for file in (jsonl(tmp_path / "pairs.jsonl", row), table):
        [found] = read_rankings(file)
        assert (found.messages, found.strength, found.weight) == (tuple(MESSAGES), 2, 0.5)
        assert [[found.responses[index] for index in tier] for tier in found.tiers] == [["Soon."], ["No."]]


def test_best_of_n_leaves_the_other_responses_unordered(tmp_path: Path) -> None:
    pair = {"prompt": "Q", "chosen": ["a", "b"], "rejected": ["c", "d"], "margin": 0.5}
    [found] = read_rankings(jsonl(tmp_path / "best.jsonl", pair))
    tiers = dict(zip(found.responses, found.tier_of_each(), strict=True))
    assert tiers == {"a": 0, "b": 0, "c": UNRANKED_TIER, "d": UNRANKED_TIER}
    assert found.strength is None


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ({"chosen": "Soon.", "rejected": "No."}, "there is no prompt"),
        ({"chosen": said("Q", "user"), "rejected": said("No.")}, "have no common prompt"),
        ({"prompt": "Q", "chosen": "a", "rejected": said("No.")}, "must both be text"),
        (
            {"chosen": "\n\nHuman: A\n\nAssistant: x", "rejected": "\n\nHuman: B\n\nAssistant: y"},
            "have no common prompt",
        ),
    ],
)
def test_error_names_the_broken_pair(pair: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=f"line 1: .*{reason}"):
        read_rankings(jsonl(tmp_path / "pairs.jsonl", pair))


def test_zipped_snapshot_is_read_like_the_unzipped_snapshot(tmp_path: Path) -> None:
    """The archive is a `dataset` export: one Parquet file with a dataset card."""
    row = dict.fromkeys(SCHEMA.names) | BEFORE
    row |= {
        "ranking_id": "r1",
        "messages": MESSAGES,
        "responses": [{"id": str(n), "text": f"text {n}", "model": ""} for n in range(3)],
        "tiers": [[1]],
        "unranked": [0, 2],
        "not_rankable": False,
        "weight": 0.25,
        "split": "heldout",
        "source": "browser",
    }
    plain, packed = tmp_path / "rankings.parquet", tmp_path / "dataset.zip"
    assert write_rankings(plain, [row]) == 1
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("README.md", "# About")
        archive.writestr("card.json", "{}")
        archive.write(plain, "rankings.parquet")
    assert list(read_rankings(packed)) == list(read_rankings(plain))
    [found] = read_rankings(packed)
    assert (found.tier_of_each(), found.weight, found.split) == (
        [UNRANKED_TIER, 0, UNRANKED_TIER],
        0.25,
        "heldout",
    )
    assert found.in_shown_order


def test_broken_row_causes_the_same_error_in_a_snapshot_and_in_an_import(tmp_path: Path) -> None:
    row = dict.fromkeys(SCHEMA.names) | BEFORE
    row |= {
        "messages": MESSAGES,
        "responses": [{"text": "a"}, {"text": "b"}],
        "tiers": [[1], [1]],
        "not_rankable": False,
    }
    write_rankings(tmp_path / "rankings.parquet", [row])
    with pytest.raises(RankingFileError, match="line 1: tiers lists a response twice"):
        read_rankings(tmp_path / "rankings.parquet")
