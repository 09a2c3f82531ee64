"""Label Studio tasks with their annotations: pairs for `<Pairwise>`, whole rankings for `<Ranker>`.

The file is one JSON array, as Label Studio requires. There is one Label Studio task per ranking (for
Pairwise, per strict pair). The rankings of a Rankloop task can't be combined during streaming. Rows are read
in the order of creation, so a task's rankings are not necessarily adjacent. The task's `meta` contains the
IDs of the ranking, task and prompt. `prompt` is the conversation in the format that `<Paragraphs
value="$prompt" nameKey="role" textKey="content"/>` displays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from preferences.formats.export_format import (
    ExportFormat,
    Row,
    SnapshotFile,
    encoded,
    needs_rankings,
    pairs_of,
)
from preferences.formats.losses import Part, all_but

READ = (
    "ranking_id",
    "task_id",
    "prompt_id",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "strength",
    "not_rankable",
    "annotator",
    "duration_ms",
)


def _array(items: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    before = b"[\n"
    for item in items:
        yield before + encoded(item)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _task(row: Row, data: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "data": {"prompt": row["messages"], **data},
        "meta": {name: row[name] for name in ("ranking_id", "task_id", "prompt_id")},
        "annotations": [
            {
                "completed_by": {"email": row["annotator"]},
                "lead_time": None if row["duration_ms"] is None else row["duration_ms"] / 1000,
                "was_cancelled": row["not_rankable"],
                "result": results,
            }
        ],
    }


def _pairs(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    for row in snapshot.rows(*READ):
        for pair in pairs_of(row):
            if pair.is_tie:
                continue
            left, right = sorted((pair.preferred, pair.other))
            data = {
                "answer1": row["responses"][left]["text"],
                "answer2": row["responses"][right]["text"],
                "model1": row["responses"][left]["model"],
                "model2": row["responses"][right]["model"],
            }
            side = "left" if pair.preferred == left else "right"
            chosen = {
                "from_name": "comparison",
                "to_name": "comparison",
                "type": "pairwise",
                "value": {"selected": side},
            }
            yield _task(row, data, [chosen])


def _orders(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    for row in snapshot.rows(*READ):
        results = [
            {"id": response["id"], "model": response["model"], "body": response["text"]}
            for response in row["responses"]
        ]
        ids = [[row["responses"][index]["id"] for index in tier] for tier in row["tiers"]]
        value = (
            {f"tier_{place}": tier for place, tier in enumerate(ids, start=1)}
            if any(len(tier) > 1 for tier in ids)
            else {"rank": [id for (id,) in ids]}
        )
        order = {"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": value}}
        yield _task(row, {"results": results}, [order] if ids else [])


PAIRWISE = ExportFormat(
    name="label_studio_pairwise",
    title="Label Studio Pairwise tasks with annotations (JSON array)",
    use='For `<Pairwise name="comparison" toName="answer1,answer2">` projects; one task per pair.',
    loses=all_but(
        Part.CONVERSATIONS,
        Part.SYSTEM_TURNS,
        Part.TOOL_TURNS,
        Part.RESPONSES,
        Part.MODELS,
        Part.PREFERENCES,
        Part.ANNOTATOR,
        Part.DURATION,
    ),
    notes=(
        "Pairwise can't express ties. A ranking of more than two responses becomes pairs. `completed_by` "
        "contains the pseudonym in place of an email address."
    ),
    example=(
        '[{"data": {"prompt": [{"role": "user", "content": "Q"}], "answer1": "A", "answer2": "B"},'
        ' "annotations": [{"completed_by": {"email": "annotator-…"}, "lead_time": 12.5, "was_cancelled":'
        ' false, "result": [{"from_name": "comparison", "to_name": "comparison", "type": "pairwise", "value":'
        ' {"selected": "left"}}]}]}]'
    ),
    suffix=".json",
    media_type="application/json",
    write=lambda snapshot, options: _array(_pairs(snapshot)),
    check=needs_rankings,
    imports_as="label-studio",
)
RANKER = ExportFormat(
    name="label_studio_ranker",
    title="Label Studio Ranker tasks with annotations (JSON array)",
    use='For `<List name="results">` with `<Ranker name="rank">`; one task per ranking.',
    loses=all_but(
        Part.CONVERSATIONS,
        Part.SYSTEM_TURNS,
        Part.TOOL_TURNS,
        Part.RESPONSES,
        Part.DISPLAY_ORDER,
        Part.MODELS,
        Part.PREFERENCES,
        Part.LONG_ORDERS,
        Part.TIES,
        Part.UNRANKED,
        Part.ANNOTATOR,
        Part.DURATION,
    ),
    notes=(
        "A ranking without ties is the Ranker's `rank` list. A ranking with ties becomes buckets `tier_1`, "
        "`tier_2`, …, best first, because the list can't express ties. Responses left unranked are in no "
        "bucket. A not-rankable answer becomes a cancelled annotation. Other rankings without tiers become "
        "empty annotations. `completed_by` contains the pseudonym in place of an email address."
    ),
    example=(
        '[{"data": {"prompt": [{"role": "user", "content": "Q"}], "results": [{"id": "…", "model": "m1",'
        ' "body": "A"}, …]}, "annotations": [{"completed_by": {"email": "annotator-…"}, "result":'
        ' [{"from_name": "rank", "to_name": "results", "type": "ranker", "value": {"ranker": {"rank":'
        ' ["…", "…"]}}}]}]}]'
    ),
    suffix=".json",
    media_type="application/json",
    write=lambda snapshot, options: _array(_orders(snapshot)),
    imports_as="label-studio",
)
