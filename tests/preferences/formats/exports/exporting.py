"""Rankings with every feature of a form, and their exports."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import export_name, export_snapshot
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import DatasetSnapshot, Project

TURNS = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "What is 2+2?"},
]
ROWS: list[dict[str, Any]] = [
    {
        "messages": TURNS,
        "responses": [
            {"text": "4", "model": "m1"},
            {"text": "5", "model": "m2"},
            {"text": "four", "model": "m1"},
        ],
        "tiers": [[0, 2], [1]],
        "annotator": "kim",
        "strength": 3,
        "ratings": {"0": {"help": 4}, "1": {"help": 0}, "2": {"help": 2}},
        "flags": {"2": ["wordy"]},
        "duration_ms": 1500,
    },
    {
        "prompt": "Top one",
        "responses": ["a", "b", "c"],
        "tiers": [[1]],
        "annotator": "kim",
        "comment": "rest bad",
    },
    {"prompt": "All alike?", "responses": ["a", "b"], "tiers": [[0, 1]], "annotator": "kim"},
    {"prompt": "Neither", "responses": ["x", "y"], "not_rankable": True, "annotator": "lee"},
    {"prompt": "Bad", "responses": ["x", "y"], "tiers": [[0], [1]], "all_bad": True, "rewrite": "Good."},
    {"prompt": "Again?", "responses": ["a", "b"], "tiers": [[1], [0]], "annotator": "kim"},
    {"prompt": "Again?", "responses": ["a", "b"], "tiers": [[1], [0]], "annotator": "lee"},
    {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "responses": ["Because.", "No."],
        "tiers": [[0], [1]],
    },
]


def frozen(project: Project, rows: list[dict[str, Any]] | None = None) -> DatasetSnapshot:
    data = "\n".join(json.dumps(row) for row in rows or ROWS).encode()
    report = import_file(project=project, file=io.BytesIO(data))
    assert not report.failed, report.errors
    return freeze_snapshot(project=project, name="v1")


def exported(snapshot: DatasetSnapshot, format: str, **options: str) -> bytes:
    return b"".join(export_snapshot(snapshot=snapshot, format=format, options=options))


def lines(snapshot: DatasetSnapshot, format: str, **options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(snapshot, format, **options).splitlines()]


def saved(snapshot: DatasetSnapshot, format: str, folder: Path, **options: str) -> Path:
    path = folder / export_name(snapshot=snapshot, format=format)
    path.write_bytes(exported(snapshot, format, **options))
    return path
