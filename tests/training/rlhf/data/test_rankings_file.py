"""A snapshot or a JSONL of rankings is read whole or refused with the rows named; what is left out is
counted."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from training.rlhf.data.ranking_files import RankingFileError
from training.rlhf.data.rankings import (
    UNRANKED_TIER,
    Ranking,
    count_repeats,
    count_shared_prompts,
    read_rankings,
    split_by_prompt,
)

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


def test_a_snapshot_of_the_platform_is_read_with_all_its_columns(tmp_path: Path) -> None:
    """The schema the exporter writes, columns that training does not use included."""
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
    assert rankings.left_out == {"not_rankable": 1, "all_bad": 0, "fewer_than_two_responses": 0}
    assert rankings[0].tier_of_each() == [1, 1, 0]


def test_jsonl_plain_or_compressed_needs_only_messages_responses_and_tiers(tmp_path: Path) -> None:
    least = {"messages": MESSAGES, "responses": ["a", "b"], "tiers": [[1], [0]]}
    plain = jsonl(tmp_path / "rankings.jsonl", least, row())
    packed = tmp_path / "rankings.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_rankings(plain)) == list(read_rankings(packed))
    first, second = read_rankings(plain)
    assert (first.responses, first.weight, first.split) == (("a", "b"), 1.0, "train")
    assert first.prompt_hash == second.prompt_hash != ""  # the same conversation


def test_rows_that_say_nothing_are_left_out_and_counted_and_all_tied_ones_are_kept(tmp_path: Path) -> None:
    lonely = row(responses=["only"], tiers=[[0]])
    tied = row(tiers=[[0, 1, 2]])
    rankings = read_rankings(jsonl(tmp_path / "r.jsonl", lonely, row(not_rankable=True, tiers=[]), tied))
    assert rankings.left_out == {"not_rankable": 1, "all_bad": 0, "fewer_than_two_responses": 1}
    assert [r.all_tied for r in rankings] == [True]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        (row(tiers=[[0], [1]]), r"tiers names the responses \[0, 1\], but each of 0..2"),
        (row(tiers=[[0], [1], [2], [2]]), "each of 0..2 must stand in exactly one tier"),
        (row(tiers=[[0], [1], [7]]), r"\[0, 1, 7\]"),
        (row(tiers=[[0, 1, 2], []]), "empty tier"),
        (row(tiers=None), "list of lists"),
        (row(tiers=[["0"], [1], [2]]), "must hold indices"),
        (row(responses="text"), "responses must be a list"),
        (row(responses=[{"id": "x"}, "b", "c"]), "each response must be a text"),
        (row(messages=[]), "messages is empty"),
        (row(messages=[{"role": "user"}]), "a role and a content"),
        (row(weight=-1), "weight is -1"),
        (row(strength="2"), "strength is '2'"),
        (row(round="one"), "round is 'one'"),
        (row(votes=1.5), "votes is 1.5"),
        (row(strength=True), "strength is True"),
        (row(weight=10**400), "too large"),
        (row(responses=["good \ud83d", "b", "c"]), "lone surrogate"),
        (row(messages=[{"role": "user", "content": "\udc00"}]), "lone surrogate"),
    ],
)
def test_a_broken_row_is_an_error_that_names_it(tmp_path: Path, broken: Any, reason: str) -> None:
    with pytest.raises(RankingFileError, match=rf"line 2: .*{reason}"):
        read_rankings(jsonl(tmp_path / "rankings.jsonl", row(), broken, row()))


def test_a_mark_that_windows_writes_first_and_its_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = jsonl(tmp_path / "rankings.jsonl", row(), row(strength=2))
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    assert list(read_rankings(marked)) == list(read_rankings(plain))


def test_a_file_that_is_damaged_says_where(tmp_path: Path) -> None:
    lines = jsonl(tmp_path / "rankings.jsonl", *[row(comment=str(n)) for n in range(50)]).read_bytes()
    (tmp_path / "other.jsonl").write_bytes(lines.replace(b"On its way", b"On its w\xe4y", 1))
    with pytest.raises(RankingFileError, match=r"other.jsonl has 1 broken rows: line 1: not UTF-8"):
        read_rankings(tmp_path / "other.jsonl")
    packed = tmp_path / "rankings.jsonl.gz"
    for damaged in (gzip.compress(lines)[:-40], lines, gzip.compress(lines)[:60] + bytes(200)):
        packed.write_bytes(damaged)
        with pytest.raises(RankingFileError, match=r"rankings.jsonl.gz can't be read after line \d+: "):
            read_rankings(packed)
    table = tmp_path / "rankings.parquet"
    parquet.write_table(pa.Table.from_pylist([row(strength=1)] * 500), table)
    content = bytearray(table.read_bytes())
    content[4:400] = bytes(396)
    table.write_bytes(content)
    with pytest.raises(RankingFileError, match=r"rankings.parquet is damaged after row 0: "):
        read_rankings(table)


def test_many_broken_rows_are_counted_not_listed(tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=r"has 20 broken rows: line 1: .*; line 5: .* \(and 15 more\)"):
        read_rankings(jsonl(tmp_path / "rankings.jsonl", *["nonsense"] * 20))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match="no such file"):
        read_rankings(tmp_path / "absent.parquet")
    with pytest.raises(RankingFileError, match=r"are read from \.parquet, \.jsonl, .* or \.zip"):
        read_rankings(jsonl(tmp_path / "rankings.txt", "a,b"))
    with pytest.raises(RankingFileError, match="not a readable Parquet file"):
        read_rankings(jsonl(tmp_path / "rankings.parquet", "text"))
    other = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"x": [1]}), other)
    with pytest.raises(RankingFileError, match="no column messages, responses, tiers"):
        read_rankings(other)


def ranking(number: int, *, split: str = "train") -> Ranking:
    message = ({"role": "user", "content": f"question {number // 2}"},)  # every prompt twice
    return Ranking(message, ("a", "b"), ((0,), (1,)), split=split)


def test_no_prompt_is_on_both_sides_of_the_split_and_the_split_is_stable() -> None:
    rankings = [ranking(number) for number in range(400)]
    train, heldout = split_by_prompt(rankings, heldout_fraction=0.2)
    assert len(train) + len(heldout) == 400
    assert 50 < len(heldout) < 110
    assert not {r.prompt_hash for r in train} & {r.prompt_hash for r in heldout}
    again = split_by_prompt(list(reversed(rankings)), heldout_fraction=0.2)[1]
    assert {r.prompt_hash for r in again} == {r.prompt_hash for r in heldout}


def test_a_split_the_rows_carry_stands() -> None:
    rankings = [ranking(number, split="heldout" if number == 6 else "train") for number in range(40)]
    _, heldout = split_by_prompt(rankings, heldout_fraction=0.5)
    assert [r.messages[0]["content"] for r in heldout] == ["question 3", "question 3"]


@pytest.mark.parametrize("carried", [True, False])
def test_prompts_that_differ_in_white_space_alone_are_on_one_side(carried: bool) -> None:
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


def test_prompts_that_a_given_split_has_on_both_sides_are_counted() -> None:
    def asked(*texts: str) -> list[Ranking]:
        return [Ranking(({"role": "user", "content": text},), ("a", "b"), ((0,), (1,))) for text in texts]

    learn = asked("Where is it?", "Where is it?", "When?")
    assert count_shared_prompts(learn, asked("Where  is it? ", "Where is\nit?", "Why?")) == 1
    assert count_shared_prompts(learn, asked("Why?")) == count_shared_prompts(learn, []) == 0


def test_what_is_said_twice_and_what_is_said_both_ways_is_counted() -> None:
    def said(tiers: tuple[tuple[int, ...], ...], annotator: str = "a", texts: str = "xyz") -> Ranking:
        return Ranking(tuple(MESSAGES), tuple(texts), tiers, annotator=annotator)

    first = said(((0,), (1,), (2,)))
    assert count_repeats([first]) == {"duplicates": 0, "contradicted_pairs": 0}
    turned = said(((2,), (1,), (0,)), texts="zyx")  # the same, shown in another order
    other = said(((0,), (1,), (2,)), annotator="b")  # a second opinion is no duplicate
    assert count_repeats([first, turned, other]) == {"duplicates": 1, "contradicted_pairs": 0}
    against = said(((1,), (0,), (2,)), annotator="b")  # y over x, and both over z as before
    assert count_repeats([first, against, against]) == {"duplicates": 1, "contradicted_pairs": 1}
    tied = said(((0, 1), (2,)))
    assert count_repeats([first, tied]) == {"duplicates": 0, "contradicted_pairs": 0}


def test_what_was_left_unranked_is_the_last_tier_and_all_bad_alone_says_nothing(tmp_path: Path) -> None:
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
    assert [ranking.weight for ranking in rankings] == [1.0, 0.25]
    assert rankings.left_out == {"not_rankable": 0, "all_bad": 1, "fewer_than_two_responses": 0}
    with pytest.raises(RankingFileError, match="exactly one tier"):
        read_rankings(jsonl(tmp_path / "twice.jsonl", row(unranked=[1])))


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
def test_pairs_as_others_have_them_are_rankings_of_two(pair: dict[str, Any], tmp_path: Path) -> None:
    expected = Ranking(tuple(MESSAGES), ("Soon.", "No."), ((0,), (1,)), strength=2, weight=0.5)
    row = pair | {"margin": 2.0, "weight": 0.5}
    assert list(read_rankings(jsonl(tmp_path / "pairs.jsonl", row))) == [expected]
    table = tmp_path / "pairs.parquet"
    parquet.write_table(pa.Table.from_pylist([row]), table)
    assert list(read_rankings(table)) == [expected]


def test_of_a_best_of_n_nothing_is_said_among_the_rest(tmp_path: Path) -> None:
    pair = {"prompt": "Q", "chosen": ["a", "b"], "rejected": ["c", "d"], "margin": 0.5}
    [found] = read_rankings(jsonl(tmp_path / "best.jsonl", pair))
    assert (found.tier_of_each(), found.strength) == ([0, 0, UNRANKED_TIER, UNRANKED_TIER], None)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ({"chosen": "Soon.", "rejected": "No."}, "chosen has no prompt"),
        ({"chosen": said("Q", "user"), "rejected": said("No.")}, "chosen must end with an answer"),
        ({"prompt": "Q", "chosen": "a", "rejected": None}, "rejected must be a text or a list"),
        (
            {"chosen": "\n\nHuman: A\n\nAssistant: x", "rejected": "\n\nHuman: B\n\nAssistant: y"},
            "don't answer the same prompt",
        ),
    ],
)
def test_a_pair_that_is_none_is_named(pair: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=f"line 1: .*{reason}"):
        read_rankings(jsonl(tmp_path / "pairs.jsonl", pair))
