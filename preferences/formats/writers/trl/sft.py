"""TRL's prompt–completion data: rewrites and best responses, as answers to imitate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    Row,
    SnapshotFile,
    answer,
    is_best_known,
    json_lines,
    needs_answers,
)
from preferences.formats.losses import Part, all_but

READ = (
    "ranking_id",
    "prompt_id",
    "split",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "all_bad",
    "flags",
    "rewrite",
)


def completions_of(row: Row) -> Iterator[tuple[str, str]]:
    """Yield the row's answers as (text, source). A rewrite, if there is one, is the only answer. Otherwise,
    the answers are the first-tier responses that rank above another response, are not empty, were not marked
    bad and have no flag."""
    if row["rewrite"] and row["rewrite"].strip():
        yield row["rewrite"], "rewrite"
        return
    if row["all_bad"] or not is_best_known(row):
        return
    flags = json.loads(row["flags"])
    for index in row["tiers"][0]:
        response = row["responses"][index]
        if response["text"].strip() and not flags.get(response["id"]):
            yield response["text"], "best"


def _examples(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()
    for row in snapshot.rows(*READ):
        for text, source in completions_of(row):
            key = hash((row["prompt_id"], text))
            if key in seen:
                continue
            seen.add(key)
            yield {
                "prompt": row["messages"],
                "completion": answer(text),
                "source": source,
                "prompt_group": row["prompt_id"],
                "ranking_id": row["ranking_id"],
                "split": row["split"],
            }


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_examples(snapshot))


FORMAT = ExportFormat(
    name="trl_sft",
    title="TRL prompt and completion, from rewrites and best responses (JSON Lines)",
    use="Good answers for SFTTrainer.",
    loses=all_but(
        Part.CONVERSATIONS,
        Part.SYSTEM_TURNS,
        Part.TOOL_TURNS,
        Part.SPLIT,
        Part.REWRITE,
        Part.RANKING_ID,
    ),
    notes=(
        "If a ranking has a rewrite, the rewrite is exported. Otherwise, each first-tier response "
        "that ranks above another response is exported, unless it is empty, flagged or marked bad. "
        "Identical answers to a prompt are written only once."
    ),
    example=(
        '{"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content":'
        ' "A"}], "source": "rewrite", "prompt_group": "…", "ranking_id": "…", "split": "train"}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    check=needs_answers,
    trainer="SFTTrainer",
)
