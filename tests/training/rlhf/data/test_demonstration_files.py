"""The demonstrations of a snapshot are the good answers to its training prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from preferences.formats import snapshot_parquet
from training.rlhf.core.messages import Demonstration
from training.rlhf.data.demonstration_files import choose, read_json_lines, read_snapshot
from training.rlhf.data.rankings import RankingFileError
from training.rlhf.recipes.sft import SnapshotAnswers


def row(prompt: str, **changes: Any) -> dict[str, Any]:
    """A ranking of the responses a, b and c, best first."""
    texts = [{"id": text, "text": text, "model": "m", "sampling": "{}", "metadata": "{}"} for text in "abc"]
    blank = dict.fromkeys(snapshot_parquet.SCHEMA.names)
    return (
        blank
        | snapshot_parquet.BEFORE
        | {"prompt_hash": prompt, "split": "train", "messages": [{"role": "user", "content": prompt}]}
        | {"responses": texts, "tiers": [[0], [1], [2]], "not_rankable": False, "flags": "{}", "weight": 1.0}
        | changes
    )


ROWS = [
    row("plain"),
    row("tie for first", tiers=[[0, 2], [1]]),
    row("top one", tiers=[[1]], unranked=[0, 2]),
    row("flagged", tiers=[[0, 2], [1]], flags=json.dumps({"a": ["unsafe"]})),
    row("all tied", tiers=[[0, 1, 2]]),
    row("all bad with an order", all_bad=True),
    row("all bad, rewritten", all_bad=True, rewrite="better"),
    row("not rankable, rewritten", tiers=[], not_rankable=True, rewrite="better"),
    row("blank rewrite", rewrite=" "),
    row("rewritten", rewrite="better"),
    row("rewritten", rewrite="better"),
    row("plain"),
    row("held out", split="heldout", rewrite="better"),
]
BEST = [
    *(("plain", "a"), ("tie for first", "a"), ("tie for first", "c"), ("top one", "b"), ("flagged", "c")),
    ("blank rewrite", "a"),
]
REWRITTEN = [(prompt, "better") for prompt in ("all bad, rewritten", "not rankable, rewritten", "rewritten")]


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("snapshot") / "rankings.parquet"
    snapshot_parquet.write_rankings(file, ROWS)
    return file


@pytest.mark.parametrize(
    ("answers", "expected", "counts"),
    [
        (
            "best_responses",
            [*BEST, ("rewritten", "a")],
            {"from/best_responses": 7, "left_out/no_good_answer": 4, "left_out/repeated": 2},
        ),
        (
            "rewrites",
            REWRITTEN,
            {"from/rewrites": 3, "left_out/no_good_answer": 8, "left_out/repeated": 1},
        ),
        (
            "all",
            [*BEST, *REWRITTEN],
            {"from/best_responses": 6, "from/rewrites": 3}
            | {"left_out/no_good_answer": 2, "left_out/repeated": 2},
        ),
    ],
)
def test_good_answers_of_each_source_are_read_and_the_rest_are_counted(
    snapshot: Path, answers: SnapshotAnswers, expected: list[tuple[str, str]], counts: dict[str, int]
) -> None:
    found = read_snapshot(snapshot, answers=answers)
    said = [(messages[-1]["content"], text) for messages, text in found]
    assert sorted(said) == sorted(expected)
    assert found.counts == counts | {"left_out/heldout_prompts": 1}


def test_file_that_is_not_a_snapshot_is_refused(tmp_path: Path, snapshot: Path) -> None:
    other = tmp_path / "rankings.jsonl"
    other.write_text("{}\n")
    with pytest.raises(RankingFileError, match=r"rankings.jsonl is not a snapshot"):
        read_snapshot(other, answers="all")
    damaged = tmp_path / "damaged.parquet"
    content = bytearray(snapshot.read_bytes())
    content[60:400] = bytes(340)
    damaged.write_bytes(content)
    with pytest.raises(RankingFileError, match=r"damaged.parquet can't be read: the Parquet data is damaged"):
        read_snapshot(damaged, answers="all")


def test_chosen_demonstrations_depend_on_the_seed_and_keep_their_order() -> None:
    given = [Demonstration([{"role": "user", "content": str(n)}], str(n)) for n in range(50)]
    assert choose(given, 50, seed=0) == given
    first, second = choose(given, 10, seed=0), choose(given, 10, seed=1)
    assert choose(given, 10, seed=0) == first != second
    assert len(first) == 10
    assert first == [one for one in given if one in first]
    assert first != given[:10]


def test_json_lines_are_read_and_the_error_names_the_broken_line(tmp_path: Path) -> None:
    file = tmp_path / "demonstrations.jsonl"
    line = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "response": "Hello.", "id": 7})
    file.write_text(f"{line}\n\n{line}\n")
    assert read_json_lines(file) == [Demonstration([{"role": "user", "content": "Hi"}], "Hello.")] * 2
    for broken in ("{", '{"messages": []}', line.replace('"Hello."', "3"), line.replace('"Hi"', "null")):
        file.write_text(f"{line}\n{broken}\n")
        with pytest.raises(ValueError, match=r"demonstrations.jsonl, line 2: a demonstration needs"):
            read_json_lines(file)
