"""TRL's prompt–completion data: the completions are rewrites and best responses, which a model learns to
imitate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    SnapshotFile,
    answer,
    json_lines,
    needs_answers,
)
from preferences.formats.losses import Part, all_but
from preferences.good_answers import COLUMNS, good_answers

READ = ("ranking_id", "prompt_id", "split", "messages", *COLUMNS)


def _examples(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()
    for row in snapshot.rows(*READ):
        for text, source in good_answers(row):
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
    use="Good responses for SFTTrainer.",
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
        "Identical responses to a prompt are written only once."
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
