"""Parquet files with the column types that pandas, Arrow and Spark write."""

from __future__ import annotations

import datetime
import io
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preferences.formats import snapshot_parquet
from preferences.records import FormatError
from tests.field_cases import case
from tests.preferences.formats.containers.files import comparisons, parquet, reasons, records
from training.rlhf.data.files import read_rankings

ROLE = pa.dictionary(pa.int8(), pa.string())
PAIR = {"prompt": ["Q"], "chosen": ["a"], "rejected": ["b"]}


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def metadata(**column: Any) -> dict[str, Any]:
    (record,) = records(parquet(**PAIR, **column))
    return record.metadata


@pytest.mark.parametrize("role", [pa.string(), pa.large_string(), ROLE])
@pytest.mark.parametrize("listed", [pa.list_, pa.large_list])
@pytest.mark.parametrize("group", [1, 2, 50, 1000])
def test_nested_columns_in_several_row_groups_are_read(role: Any, listed: Any, group: int) -> None:
    kind = listed(pa.struct([("role", role), ("content", pa.large_string())]))
    columns = {
        side: pa.array([turns(f"q{n}", f"{side} {n}") for n in range(101)], kind)
        for side in ("chosen", "rejected")
    }
    assert comparisons(parquet(group=group, **columns)) == [
        (f"q{n}", f"chosen {n}", f"rejected {n}") for n in range(101)
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (
            pa.array([datetime.datetime(2025, 1, 2, 3, 4, 5)], pa.timestamp("us", "UTC")),
            "2025-01-02T03:04:05+00:00",
        ),
        (
            pa.array([datetime.datetime(2025, 7, 2, 3, 4, 5)], pa.timestamp("ms", "Europe/Paris")),
            "2025-07-02T05:04:05+02:00",
        ),
        (pa.array([1_700_000_000 * 10**9], pa.timestamp("ns")), "2023-11-14T22:13:20"),
        (pa.array([2**52], pa.timestamp("ms")), "<value out of range: 4503599627370496>"),
        (pa.array([datetime.date(2025, 1, 2)]), "2025-01-02"),
        (pa.array([datetime.time(1, 2, 3)], pa.time64("us")), "01:02:03"),
        (pa.array([90], pa.duration("s")), "0:01:30"),
        (pa.array([Decimal("1.10")], pa.decimal128(8, 2)), 1.1),
        (pa.array([Decimal("12345678901234567890.12")], pa.decimal128(38, 2)), "12345678901234567890.12"),
        (pa.array([1.5], pa.float16()), 1.5),
        (pa.array([b"caf\xc3\xa9"]), "café"),
        (pa.array([b"\xff\x00"]), "/wA="),
        (pa.array([{"bytes": b"\xff", "path": None}]), {"bytes": "/w=="}),
        (pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int32())), [["a", 1], ["b", 2]]),
        (pa.array([{"values": [0.5, 1.0], "shape": [2]}]), {"values": [0.5, 1.0], "shape": [2]}),
        (pa.array([["x", "y"]], pa.large_list(pa.large_string())), ["x", "y"]),
        (pa.array([[[1.0], [2.0]]], pa.list_(pa.list_(pa.float64()))), [[1.0], [2.0]]),
    ],
)
def test_values_of_any_column_type_become_readable_metadata(column: pa.Array, value: Any) -> None:
    (found,) = metadata(extra=column).values()
    if isinstance(value, dict):
        found = {name: inner for name, inner in found.items() if inner is not None}
    assert found == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_nan_and_infinity_and_null_in_parquet_are_left_out_of_the_metadata(value: float | None) -> None:
    assert metadata(score=pa.array([value], pa.float64()), margin=pa.array([value], pa.float64())) == {}


def test_text_stored_as_binary_is_read() -> None:
    columns = {name: pa.array([text.encode()]) for name, (text,) in PAIR.items()}
    assert comparisons(parquet(**columns)) == [("Q", "a", "b")]


def test_binary_prompt_that_is_not_utf8_is_refused() -> None:
    found = reasons(parquet(**{**PAIR, "prompt": ["Q", "R"]} | {
        "prompt": pa.array([b"\xff", b"R"]), "chosen": ["a", "c"], "rejected": ["b", "d"]
    }))  # fmt: skip
    assert list(found) == [1]
    assert "prompt" in found[1]


@pytest.mark.parametrize("name", ["__index_level_0__", "Unnamed: 0"])
def test_pandas_index_is_left_out(name: str) -> None:
    assert metadata(**{name: [5], "id": [7]}) == {"id": 7}


def test_error_names_the_repeated_parquet_column() -> None:
    stream = io.BytesIO()
    columns = [pa.array(["Q"]), pa.array(["R"]), pa.array(["a"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["prompt", "prompt", "chosen"]), stream)
    with pytest.raises(FormatError, match="two columns named 'prompt'"):
        reasons(stream.getvalue())


def test_snapshot_with_a_nested_dictionary_encoded_column_is_read_for_training(tmp_path: Path) -> None:
    response = {"id": "", "text": "a", "model": "m", "sampling": "{}", "metadata": "{}"}
    row: dict[str, Any] = dict.fromkeys(snapshot_parquet.SCHEMA.names) | {
        "ranking_id": "r",
        "messages": [{"role": "user", "content": "Q"}],
        "responses": [response, {**response, "text": "b"}],
        "tiers": [[1], [0]],
        "not_rankable": False,
        "weight": 1.0,
        "source": "browser",
        "round": 0,
        "prompt_hash": "h",
        "split": "train",
    }
    fields = snapshot_parquet.SCHEMA.field("responses").type.value_type
    coded = pa.list_(
        pa.struct([(field.name, ROLE if field.name == "model" else field.type) for field in fields])
    )
    place = snapshot_parquet.SCHEMA.get_field_index("responses")
    schema = snapshot_parquet.SCHEMA.set(place, pa.field("responses", coded))
    file = tmp_path / "snapshot.parquet"
    pq.write_table(pa.Table.from_pylist([row] * 5, schema=schema), file, row_group_size=2)
    assert snapshot_parquet.is_snapshot(file)
    assert [(ranking.responses, ranking.tiers) for ranking in read_rankings(file)] == [
        (("a", "b"), ((1,), (0,)))
    ] * 5


@pytest.mark.parametrize(("script", "name"), [("make.py", "input"), ("make_plain_role.py", "plain_role")])
def test_parquet_files_with_mixed_column_encodings_are_read(tmp_path: Path, script: str, name: str) -> None:
    program = case("21-parquet-encodings") / script
    subprocess.run([sys.executable, program, tmp_path], check=True)
    file = tmp_path / f"{name}.parquet"
    assert comparisons(file) == [("q1", "a", "x"), ("q2", "b", "y"), ("q1", "c", "z")]
    same = {"at": "2025-01-02T04:04:05.678901+01:00", "cost": 1.1}
    found = records(file)
    assert [record.metadata for record in found] == [
        {"score_chosen": 1.5, **same, "raw": "/wA=", "emb": [0.5, 1.0]},
        {**same, "emb": []},
        {**same, "raw": "ok"},
    ]
    assert [record.ranking and record.ranking.strength for record in found] == [2, None, None]
    assert [ranking.strength for ranking in read_rankings(file)] == [2, None, None]
