"""Tables, archives and files from other annotation tools are read as rankings or rejected with a reason."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from training.rlhf.data.files import read_rankings
from training.rlhf.data.rankings import RankingFileError


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


SOUND = {
    "prompt": {"prompt": message("prompter", "Q", replies=[])},
    "data": task([], answer1="a", answer2="b"),
    "fields": record({"response-1": 1, "response-2": 2, "response-3": 3}),
}
OPTIONS = [{"id": name, "body": f"text {name}"} for name in "pqr"]


def read(rows: Any, folder: Path) -> Any:
    (folder / "tasks.json").write_text(json.dumps(rows))
    return read_rankings(folder / "tasks.json")


def test_conversation_tree_yields_a_ranking_for_each_set_of_ranked_replies(tmp_path: Path) -> None:
    late = [message("assistant", "x", rank=1), message("assistant", "y", rank=0), message("assistant", "z")]
    more = message("prompter", "And?", replies=late)
    early = [message("assistant", "good", rank=0, replies=[more]), message("assistant", "bad", rank=1)]
    found = read([{"prompt": message("prompter", "Q", replies=early)}], tmp_path)
    assert [(r.messages[-1]["content"], r.responses, r.tiers) for r in found] == [
        ("Q", ("good", "bad"), ((0,), (1,))),
        ("And?", ("x", "y"), ((1,), (0,))),
    ]
    assert [m["role"] for m in found[1].messages] == ["user", "assistant", "user"]


def test_each_annotation_of_a_task_becomes_a_ranking(tmp_path: Path) -> None:
    given = task(ranker({"tier_2": ["p"], "tier_10": ["r"], "tier_1": ["q"]}), results=OPTIONS)
    given["annotations"].append({"completed_by": {"email": "kim"}, "result": ranker({"rank": ["r"]})})
    given["annotations"].append({"completed_by": 8, "result": [], "was_cancelled": True})
    found = read([given], tmp_path)
    assert [(r.annotator, r.tiers, r.rest_unranked) for r in found] == [
        ("7", ((1,), (0,), (2,)), False),
        ("kim", ((2,), (0, 1)), True),
    ]
    assert found.left_out["answer_left_out"] == 1


def test_equal_ranks_are_ties_and_discarded_answers_are_counted(tmp_path: Path) -> None:
    ranks = {"response-1": 2, "response-2": 1, "response-3": 2}
    found = read([record(ranks), record(ranks, status="discarded")], tmp_path)
    assert [(r.annotator, r.tiers) for r in found] == [("kim", ((1,), (0, 2)))]
    assert found.left_out["answer_left_out"] == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"prompt": message("system", "Q")},
            "prompt.role is 'system'; it must be one of prompter, assistant",
        ),
        (
            {"prompt": message("prompter", "Q", replies=[message("assistant", "a", rank="x")] * 2)},
            "ranks that are not whole numbers",
        ),
        (task(ranker({"rank": ["p", "s"]}), results=OPTIONS), "names 's', which is not an item of the task"),
        (task(ranker({"rank": ["p", "p"]}), results=OPTIONS), "lists an item twice"),
        (
            task([{"value": {"selected": "up"}}], answer1="a", answer2="b"),
            "is 'up'; it must be one of left, right",
        ),
        (task(ranker({"rank": ["p"]}), results=OPTIONS, prompt=None), "`data` has no prompt"),
        (
            record({"response-1": 1, "response-2": 2, "response-3": "last"}),
            "each response needs a rank number",
        ),
    ],
)
def test_error_names_the_broken_row(row: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RankingFileError, match=rf"tasks.json has broken rows \(1\): line 2: .*{reason}"):
        read([SOUND[next(iter(row))], row], tmp_path)


def table(path: Path, *rows: dict[str, Any]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_escaped_csv_cells_are_restored_to_their_original_values(tmp_path: Path) -> None:
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
    found = read_rankings(table(tmp_path / "a.csv", cells, cells | {"not_rankable": "True", "tiers": "[]"}))
    assert [(r.responses, r.tiers, r.strength) for r in found] == [(("=1+1", ""), ((1,), (0,)), 2)]
    assert found.left_out["not_rankable"] == 1
    with pytest.raises(RankingFileError, match="line 2: strength must be a whole number"):
        read_rankings(table(tmp_path / "b.csv", cells | {"strength": "much"}))
    with pytest.raises(RankingFileError, match="messages is empty"):
        read_rankings(table(tmp_path / "c.csv", {"messages": "[]"}))


def zipped(path: Path, **files: bytes | str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return path


def test_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(RankingFileError, match="zip archive can't be opened"):
        read_rankings(tmp_path / "a.zip")
    with pytest.raises(RankingFileError, match="contains no data file"):
        read_rankings(zipped(tmp_path / "b.zip", README_md="nothing else"))
    with pytest.raises(RankingFileError, match=r"c\.zip: .*Parquet file can't be opened"):
        read_rankings(zipped(tmp_path / "c.zip", rankings_parquet="PAR1"))


def test_rankings_are_read_from_every_file_in_an_archive(tmp_path: Path) -> None:
    row = json.dumps({"prompt": "Q", "responses": ["a", "b"], "tiers": [[0], [1]]})
    found = read_rankings(zipped(tmp_path / "d.zip", a_jsonl=row, b_json=f"[{row}]", card_json="{}"))
    assert [ranking.tiers for ranking in found] == [((0,), (1,))] * 2
    with pytest.raises(RankingFileError, match=r"line 1: b\.jsonl: the line is not valid JSON"):
        read_rankings(zipped(tmp_path / "e.zip", a_jsonl=row, b_jsonl="{"))
