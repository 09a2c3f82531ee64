"""What other annotation tools write is read as rankings, or refused by its row; tables and archives, too."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.rlhf.data.ranking_files import RankingFileError
from training.rlhf.data.rankings import read_rankings


def message(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "text": text, "replies": [], **more}


def task(result: list[dict[str, Any]], **data: Any) -> dict[str, Any]:
    return {"data": {"prompt": "Q", **data}, "annotations": [{"completed_by": 7, "result": result}]}


def ranker(value: Any) -> list[dict[str, Any]]:
    return [{"type": "ranker", "value": {"ranker": value}}]


def record(ranks: dict[str, Any], **response: Any) -> dict[str, Any]:
    values = {"ranking": {"value": [{"value": name, "rank": rank} for name, rank in ranks.items()]}}
    fields = {"prompt": "Q", "response-1": "a", "response-2": "b", "response-3": "c"}
    return {"fields": fields, "responses": [{"values": values, "user_id": "kim", **response}]}


OPTIONS = [{"id": name, "body": f"text {name}"} for name in "pqr"]


def read(rows: Any, folder: Path) -> Any:
    (folder / "tasks.json").write_text(json.dumps(rows))
    return read_rankings(folder / "tasks.json")


def test_a_tree_holds_a_ranking_at_every_place_where_replies_were_ranked(tmp_path: Path) -> None:
    late = [message("assistant", "x", rank=1), message("assistant", "y", rank=0), message("assistant", "z")]
    more = message("prompter", "And?", replies=late)
    early = [message("assistant", "good", rank=0, replies=[more]), message("assistant", "bad", rank=1)]
    found = read([{"prompt": message("prompter", "Q", replies=early)}], tmp_path)
    assert [(r.messages[-1]["content"], r.responses, r.tiers) for r in found] == [
        ("Q", ("good", "bad"), ((0,), (1,))),
        ("And?", ("x", "y"), ((1,), (0,))),
    ]
    assert [m["role"] for m in found[1].messages] == ["user", "assistant", "user"]


def test_each_annotation_of_a_task_is_a_ranking(tmp_path: Path) -> None:
    given = task(ranker({"tier_2": ["p"], "tier_10": ["r"], "tier_1": ["q"]}), results=OPTIONS)
    given["annotations"].append({"completed_by": {"email": "kim"}, "result": ranker({"rank": ["r"]})})
    given["annotations"].append({"completed_by": 8, "result": [], "was_cancelled": True})
    found = read([given], tmp_path)
    assert [(r.annotator, r.tiers, r.rest_unranked) for r in found] == [
        ("7", ((1,), (0,), (2,)), False),
        ("kim", ((2,), (0, 1)), True),
    ]
    assert found.left_out["not_rankable"] == 1


def test_equal_ranks_are_ties_and_what_was_discarded_is_counted(tmp_path: Path) -> None:
    ranks = {"response-1": 2, "response-2": 1, "response-3": 2}
    found = read([record(ranks), record(ranks, status="discarded")], tmp_path)
    assert [(r.annotator, r.tiers) for r in found] == [("kim", ((1,), (0, 2)))]
    assert found.left_out["not_rankable"] == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": message("system", "Q")}, "role prompter or assistant"),
        (
            {"prompt": message("prompter", "Q", replies=[message("assistant", "a", rank="x")] * 2)},
            "whole numbers",
        ),
        (task(ranker({"rank": ["p", "s"]}), results=OPTIONS), "ranks 's', which data.results doesn't hold"),
        (task(ranker({"good": ["p"]}), results=OPTIONS), "rank, or buckets"),
        (task(ranker({"rank": ["p", "p"]}), results=OPTIONS), "exactly one tier"),
        (task([{"type": "pairwise", "value": {}}], answer1="a", answer2="b"), "left or right"),
        (task(ranker({"rank": []})), "data.results must be a list"),
        (task(ranker({"rank": ["p"]}), results=OPTIONS, prompt=None), "prompt must be a list"),
        (record({"response-1": 1, "response-2": 2}), "no rank for response-3"),
        (record({"response-1": 1, "response-2": 2, "response-3": "last"}), "whole numbers"),
        ("a text", "not a JSON object"),
    ],
)
def test_a_broken_row_is_named(row: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=rf"tasks.json has 1 broken rows: item 0: .*{reason}"):
        read([row], tmp_path)


def table(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_cells_are_what_they_were_before_a_spreadsheet_was_thought_of(tmp_path: Path) -> None:
    cells = {
        "messages": json.dumps([{"role": "user", "content": "Q " * 100_000}]),
        "tiers": "[[1], [0]]",
        "strength": "2",
        "not_rankable": "False",
        "n_responses": "2",
        "response_1": "'=1+1",
        "response_2": "",
        "response_3": "",
    }
    found = read_rankings(table(tmp_path / "a.csv", cells, cells | {"not_rankable": "True"}))
    assert [(r.responses, r.tiers, r.strength) for r in found] == [(("=1+1", ""), ((1,), (0,)), 2)]
    assert found.left_out["not_rankable"] == 1
    with pytest.raises(RankingFileError, match="row 1: the cell strength: "):
        read_rankings(table(tmp_path / "b.csv", cells | {"strength": "much"}))
    with pytest.raises(RankingFileError, match="no column tiers, response_1"):
        read_rankings(table(tmp_path / "c.csv", {"messages": "[]"}))
    (tmp_path / "d.csv").write_bytes(b"messages,tiers,response_1\r\n[],[],\xff\r\n")
    with pytest.raises(RankingFileError, match=r"d.csv can't be read after row 0"):
        read_rankings(tmp_path / "d.csv")


def test_an_archive_or_an_array_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RankingFileError, match="not a readable zip file"):
        read_rankings(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("README.md", "nothing else")
    with pytest.raises(RankingFileError, match="holds 0 Parquet files"):
        read_rankings(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("rankings.parquet", "text")
    with pytest.raises(RankingFileError, match=r"rankings.parquet in c.zip is not a readable Parquet file"):
        read_rankings(tmp_path / "c.zip")
    (tmp_path / "d.json").write_text('{"one": "object"}')
    with pytest.raises(RankingFileError, match="no JSON array"):
        read_rankings(tmp_path / "d.json")
    (tmp_path / "e.json").write_text("[")
    with pytest.raises(RankingFileError, match="is not JSON"):
        read_rankings(tmp_path / "e.json")
