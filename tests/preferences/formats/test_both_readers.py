"""Imports and training accept the same files and reject the same lines for the same reasons."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation.content.importing.lines import line_of
from preferences.distinct import distinct
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.recognition import read_records
from preferences.records import FormatError, Record, Vote
from tests.annotation.real_data import real_file
from tests.preferences.formats.test_any_bytes import ANY_JSON, FILES, spots, with_value, zipped
from training.rlhf.data.files import lines_of
from training.rlhf.data.rankings import Ranking, RankingFileError

# MT-Bench votes refer to responses in another file. These votes can therefore be imported only into a project
# that contains the responses.
FORMATS = [name for name in IMPORT_FORMATS if name != "mt-bench-votes"]
Said = tuple[Any, ...]
Outcome = list[tuple[int, list[Said], str]]


def imported(file: Path) -> Outcome | str:
    """For each line, the rankings and the reason for rejecting the line. If the whole file is rejected, the
    result is the reason for rejecting the file."""
    with file.open("rb") as stream:
        try:
            _, records = read_records(stream)
        except FormatError as error:
            return str(error)
        found: Outcome = []
        for item in records:
            line = line_of(item)
            assert not any(isinstance(record, Vote) for record in item.records)
            kept = [distinct(record)[0] for record in item.records if isinstance(record, Record)]
            said = [
                (
                    record.messages,
                    tuple(response.text for response in record.responses),
                    ranking.tiers,
                    ranking.annotator,
                    ranking.strength,
                )
                for record in kept
                for ranking in record.rankings
                if ranking.tiers and len(record.responses) > 1
            ]
            assert len(said) <= sum(len(part.rankings) for part in line.parts)
            found.append(
                (item.line, said, f"{item.file}: {line.reason}" if item.file and line.reason else line.reason)
            )
        return found


def trained_on(file: Path) -> Outcome | str:
    try:
        _, lines = lines_of(file)
    except RankingFileError as error:
        return str(error).removeprefix(f"{file.name}: ")
    return [(line.number, [said_by(ranking) for ranking in line.rankings], line.reason) for line in lines]


def said_by(ranking: Ranking) -> Said:
    tiers = ranking.tiers[:-1] if ranking.rest_unranked else ranking.tiers
    return ranking.messages, ranking.responses, tiers, ranking.annotator, ranking.strength


def compare(file: Path) -> Outcome | str:
    one, other = imported(file), trained_on(file)
    if isinstance(one, list) and isinstance(other, list):
        # If a row has fewer than two responses, an import rejects the row. Training skips and counts the row.
        one = [(number, said, "" if "needs at least 2" in reason else reason) for number, said, reason in one]
    assert one == other
    return one


@pytest.mark.parametrize("name", FORMATS)
def test_both_readers_read_the_same_rankings_from_each_example(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(IMPORT_FORMATS[name].example)
    assert isinstance(compare(file), list)


@pytest.mark.parametrize("name", FORMATS)
def test_both_readers_reject_broken_rows_of_each_format_for_the_same_reason(
    name: str, tmp_path: Path
) -> None:
    example = json.loads(IMPORT_FORMATS[name].example)
    file = tmp_path / "rows.jsonl"

    @given(st.sampled_from([path for path in spots(example) if path]), ANY_JSON)
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def changed(path: tuple[Any, ...], put: Any) -> None:
        file.write_text("\n".join(json.dumps(row) for row in (example, with_value(example, path, put))))
        compare(file)

    changed()


NATIVE = {"prompt": "Q", "responses": ["a", "b", "c"], "tiers": [[1], [0]]}
ROWS: list[dict[str, Any]] = [
    NATIVE,
    NATIVE | {"weight": 0.5, "split": "heldout", "round": 2, "source": "api", "votes": 3},
    NATIVE | {"weight": 0},
    NATIVE | {"unranked": [2]},
    NATIVE | {"unranked": [1]},
    NATIVE | {"tiers": None},
    NATIVE | {"tiers": [[0], [1], [3]]},
    NATIVE | {"tiers": [], "all_bad": True},
    NATIVE | {"tiers": [], "not_rankable": True},
    NATIVE | {"not_rankable": True},
    NATIVE | {"responses": ["a", "a", "b"], "tiers": [[0], [2], [1]]},
    NATIVE | {"responses": ["a", "a"], "tiers": [[0], [1]]},
    NATIVE | {"responses": ["a"], "tiers": [[0]]},
    NATIVE | {"responses": [str(n) for n in range(11)]},
    NATIVE | {"task_kind": "gold", "gold_tiers": [[0, 1, 2]]},
    NATIVE | {"prompt": "\x00"},
    {"prompt": "only a prompt"},
]


def jsonl() -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in ROWS) + b"\n{broken\n[]\n\xff\n"


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row for row in ROWS if "\x00" not in row["prompt"]]), stream)
    return stream.getvalue()


CONTAINERS: dict[str, Callable[[], bytes]] = {
    **{kind: lambda kind=kind: FILES[kind] for kind in FILES},  # type: ignore[misc]
    "rows as jsonl": jsonl,
    "rows as gzip": lambda: gzip.compress(jsonl()),
    "broken gzip": lambda: gzip.compress(jsonl() * 99)[:-50],
    "rows as array": lambda: json.dumps(ROWS).encode(),
    "broken array": lambda: json.dumps(ROWS).encode()[:-30],
    "rows as Parquet": parquet,
    "archive": lambda: zipped(a_jsonl=jsonl(), b_parquet=parquet(), README_md=b"text", card_json=b"{}"),
    "archive without data": lambda: zipped(README_md=b"text"),
    "CSV": lambda: (
        b'prompt,response_1,response_2,tiers,weight\nQ,a,b,"[[0],[1]]",2\nQ,a,b,"[[0]]",x\nQ,a,"b\n'
    ),
    "empty": lambda: b"",
    "binary": lambda: bytes(range(256)),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_both_readers_agree_on_rankings_and_rejections_in_each_container(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTAINERS[kind]())
    compare(file)


def test_every_pair_of_a_rewardbench_row_with_many_responses_is_kept(tmp_path: Path) -> None:
    row = {"prompt": "Q", "chosen": [f"c{n}" for n in range(7)], "rejected": [f"r{n}" for n in range(9)]}
    file = tmp_path / "best.jsonl"
    file.write_text(json.dumps(row))
    lines = compare(file)
    assert isinstance(lines, list)
    pairs = set()
    for _, responses, tiers, _, _ in lines[0][1]:
        top = {responses[index] for index in tiers[0]}
        assert len(responses) <= 10
        pairs |= {(better, other) for better in top for other in set(responses) - top}
    assert pairs == {(better, other) for better in row["chosen"] for other in row["rejected"]}


def test_row_fields_for_training_are_read(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[1]))
    ((line,),) = (list(lines_of(file)[1]),)
    (ranking,) = line.rankings
    assert (ranking.weight, ranking.split, ranking.round, ranking.source, ranking.votes) == (
        0.5,
        "heldout",
        2,
        "api",
        3,
    )


REAL = [
    "annotators/tulu1-human-eval.jsonl.gz",
    "annotators/squality-human-eval.jsonl.gz",
    "annotators/pandalm-testset-v1.jsonl.gz",
    "kway/qa-feedback-4way.jsonl.gz",
    "hh-rlhf/helpful-online.test.jsonl.gz",
]


@pytest.mark.parametrize("name", REAL)
def test_both_readers_read_the_same_rankings_from_a_real_file(name: str) -> None:
    lines = compare(real_file(name))
    assert isinstance(lines, list)
    assert any(said for _, said, _ in lines)
