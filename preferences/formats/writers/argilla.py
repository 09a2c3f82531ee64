"""Argilla records with the answer to a ranking question, including rank numbers.

Argilla's own SDK writes the options in the order of the question's settings and drops the ranks. Rankloop's
records follow the format of Argilla's HTTP API, in which each value has its rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from preferences.formats.export_format import JSONL, ExportFormat, Options, Row, SnapshotFile, json_lines

READ = (
    "ranking_id",
    "task_id",
    "prompt_id",
    "split",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "comment",
    "annotator",
)


def record_of(row: Row) -> dict[str, Any]:
    names = [f"response-{number}" for number in range(1, len(row["responses"]) + 1)]
    last = len(row["tiers"]) + 1
    ranks = {index: place for place, tier in enumerate(row["tiers"], start=1) for index in tier}
    silent = not row["tiers"]
    values: dict[str, Any] = {
        "ranking": {
            "value": [{"value": name, "rank": ranks.get(index, last)} for index, name in enumerate(names)]
        }
    }
    if row["comment"]:
        values["comment"] = {"value": row["comment"]}
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
    loses=(
        "Strength, ratings, flags and rewrites; there is one record per ranking. Unranked "
        "responses share one rank below all ranked responses, because Argilla requires a rank "
        "for every option. An answer without an order (not rankable, or all bad) becomes a "
        "discarded response. `user_id` is derived from the pseudonym, which is in the metadata."
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
