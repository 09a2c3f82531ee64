"""Argilla records with the answer to a ranking question, including rank numbers.

Argilla's own SDK writes the options in the order of the question's settings and drops the ranks. Rankloop's
records follow the format of Argilla's HTTP API, in which each value has its rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    Row,
    SnapshotFile,
    has_order,
    json_lines,
)
from preferences.formats.losses import Part, all_but

READ = (
    "ranking_id",
    "task_id",
    "prompt_id",
    "split",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "not_rankable",
    "all_bad",
    "comment",
    "rewrite",
    "annotator",
)


# Text questions in addition to the ranking question.
TEXTS = ("comment", "rewrite")


def record_of(row: Row) -> dict[str, Any]:
    names = [f"response-{number}" for number in range(1, len(row["responses"]) + 1)]
    last = len(row["tiers"]) + 1
    ranks = {index: place for place, tier in enumerate(row["tiers"], start=1) for index in tier}
    values: dict[str, Any] = {name: {"value": row[name]} for name in TEXTS if row[name]}
    silent = not row["tiers"] and (has_order(row) or not values)
    if row["tiers"]:
        values["ranking"] = {
            "value": [{"value": name, "rank": ranks.get(index, last)} for index, name in enumerate(names)]
        }
    return {
        "external_id": row["ranking_id"],
        "fields": {
            "prompt": row["messages"],
            **{name: response["text"] for name, response in zip(names, row["responses"], strict=True)},
        },
        "metadata": {
            "task_id": row["task_id"],
            "prompt_id": row["prompt_id"],
            "split": row["split"],
            "annotator": row["annotator"],
            **{
                f"model-{number}": response["model"]
                for number, response in enumerate(row["responses"], start=1)
                if response["model"]
            },
        },
        "responses": [
            {
                "values": {} if silent else values,
                "status": "discarded" if silent else "submitted",
                "user_id": str(uuid5(NAMESPACE_URL, row["annotator"])),
            }
        ],
    }


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(record_of(row) for row in snapshot.rows(*READ))


FORMAT = ExportFormat(
    name="argilla",
    title="Argilla records with ranks (JSON Lines)",
    use="For Argilla's API: a chat field `prompt`, text fields `response-N`, and a ranking "
    "question `ranking`.",
    loses=all_but(
        Part.CONVERSATIONS,
        Part.SYSTEM_TURNS,
        Part.TOOL_TURNS,
        Part.SPLIT,
        Part.RESPONSES,
        Part.DISPLAY_ORDER,
        Part.MODELS,
        Part.PREFERENCES,
        Part.LONG_ORDERS,
        Part.TIES,
        Part.COMMENT,
        Part.REWRITE,
        Part.ANNOTATOR,
    ),
    notes=(
        "There is one record per ranking. Unranked responses share one rank below all ranked responses, "
        "because Argilla requires a rank for every option. A comment and a rewrite are answers to text "
        "questions named `comment` and `rewrite`. A ranking without an order keeps only its "
        "comment and its rewrite. A ranking without tiers becomes a discarded response if it "
        "is marked as not rankable or all bad, or if it has no comment and no rewrite. "
        "`user_id` is derived from the annotator's pseudonym. The metadata contains the pseudonym and the "
        "models."
    ),
    example=(
        '{"fields": {"prompt": [{"role": "user", "content": "Q"}], "response-1": "A", "response-2": "B"},'
        ' "responses": [{"values": {"ranking": {"value": [{"value": "response-1", "rank": 2}, {"value":'
        ' "response-2", "rank": 1}]}}, "status": "submitted", "user_id": "…"}], "metadata": {…}}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    imports_as="argilla",
)
