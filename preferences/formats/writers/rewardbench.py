"""Best-of-N data in the RewardBench 2 format: a prompt, the best responses, and all others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    SnapshotFile,
    json_lines,
    needs_rankings,
)
from preferences.formats.losses import Part, all_but
from preferences.good_answers import is_best_known

READ = ("ranking_id", "split", "messages", "responses", "tiers", "unranked", "all_bad", "prompt_metadata")
LABELS = {"system": "System", "user": "Human", "assistant": "Assistant", "tool": "Tool"}
SUBSET_KEYS = ("subset", "category")


def prompt_text(messages: Sequence[Mapping[str, str]]) -> str:
    """RewardBench's prompt: a single user turn is unchanged, and a longer conversation becomes text with role
    labels."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return messages[0]["content"]
    return "\n\n".join(f"{LABELS[message['role']]}: {message['content']}" for message in messages)


def _rows(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    for row in snapshot.rows(*READ):
        if row["all_bad"] or not is_best_known(row):
            continue
        best = list(row["tiers"][0])
        rest = [index for tier in row["tiers"][1:] for index in tier] + list(row["unranked"])
        metadata = json.loads(row["prompt_metadata"])
        subset = next((metadata[key] for key in SUBSET_KEYS if isinstance(metadata.get(key), str)), "")
        yield {
            "id": row["ranking_id"],
            "prompt": prompt_text(row["messages"]),
            "chosen": [row["responses"][index]["text"] for index in best],
            "rejected": [row["responses"][index]["text"] for index in rest],
            "num_correct": len(best),
            "num_incorrect": len(rest),
            "total_completions": len(best) + len(rest),
            "models": [row["responses"][index]["model"] for index in [*best, *rest]],
            "subset": subset or snapshot.card["project"],
            "additional_metadata": {"split": row["split"], "turns": len(row["messages"])},
        }


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_rows(snapshot))


FORMAT = ExportFormat(
    name="rewardbench",
    title="Best-of-N data in the RewardBench 2 format (JSON Lines)",
    use="A test set for reward models, which should assign the highest reward to the best response.",
    loses=all_but(Part.SPLIT, Part.RESPONSES, Part.MODELS, Part.PREFERENCES, Part.UNRANKED, Part.RANKING_ID),
    notes=(
        "The order below the first tier is lost. Rankings without a best response (a tie of all responses, "
        "not rankable, all bad, no order) are left out. A prompt with several turns becomes one text with "
        "role labels. `subset` is the prompt's metadata field `subset` or `category` or, without these "
        "fields, the project."
    ),
    example=(
        '{"id": "…", "prompt": "Q", "chosen": ["A"], "rejected": ["B", "C"], "num_correct": 1,'
        ' "num_incorrect": 2, "total_completions": 3, "models": ["m1", "m2", "m3"], "subset": "…",'
        ' "additional_metadata": {"split": "heldout", "turns": 1}}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    check=needs_rankings,
    imports_as="rewardbench",
)
