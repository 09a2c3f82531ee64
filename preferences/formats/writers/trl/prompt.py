"""TRL's prompt-only data: each prompt of the snapshot once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preferences.formats.export_format import JSONL, ExportFormat, Options, SnapshotFile, json_lines
from preferences.formats.losses import Part, all_but


def _prompts(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    seen: set[int] = set()  # 70 MB of hashes per million prompts; IDs would take 3 times as much
    for row in snapshot.rows("prompt_id", "messages", "split"):
        key = hash(row["prompt_id"])
        if key not in seen:
            seen.add(key)
            yield {"prompt": row["messages"], "prompt_group": row["prompt_id"], "split": row["split"]}


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_prompts(snapshot))


FORMAT = ExportFormat(
    name="trl_prompt",
    title="Conversational TRL prompts without responses (JSON Lines)",
    use="Each prompt once, for trainers that generate their own responses (GRPO, RLOO, online DPO).",
    loses=all_but(Part.CONVERSATIONS, Part.SYSTEM_TURNS, Part.TOOL_TURNS, Part.SPLIT),
    example='{"prompt": [{"role": "user", "content": "Q"}], "prompt_group": "…", "split": "train"}',
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    imports_as="prompts",
)
