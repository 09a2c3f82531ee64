"""Anthropic's hh-rlhf: two whole dialogues as text, one line per strict pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preferences.formats.dialogues import HH_ROLES, dialogue_of
from preferences.formats.export_format import (
    JSONL,
    ExportFormat,
    Options,
    SnapshotFile,
    json_lines,
    needs_rankings,
    pairs_of,
)
from preferences.formats.losses import Part, all_but


def _rows(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    known = set(HH_ROLES.values())
    for row in snapshot.rows("messages", "responses", "tiers", "unranked", "strength"):
        if any(message["role"] not in known for message in row["messages"]):
            continue
        texts = [response["text"] for response in row["responses"]]
        for pair in pairs_of(row):
            if not pair.is_tie:
                yield {
                    "chosen": dialogue_of(row["messages"], texts[pair.preferred]),
                    "rejected": dialogue_of(row["messages"], texts[pair.other]),
                }


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_rows(snapshot))


FORMAT = ExportFormat(
    name="hh_rlhf",
    title="Anthropic hh-rlhf dialogues (JSON Lines)",
    use="For code written for hh-rlhf; otherwise prefer `trl_preference`.",
    loses=all_but(Part.CONVERSATIONS, Part.RESPONSES, Part.PREFERENCES),
    notes=(
        "Prompts with a system or tool turn are left out, because the format has only two speakers. If a "
        "turn contains a blank line followed by `Human:` or `Assistant:`, it is split into turns when the "
        "file is read. Rankings of more than two responses become pairs. Data imported from hh-rlhf is "
        "exported unchanged, byte for byte."
    ),
    example=r'{"chosen": "\n\nHuman: Q\n\nAssistant: A1", "rejected": "\n\nHuman: Q\n\nAssistant: A2"}',
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    check=needs_rankings,
    imports_as="hh-rlhf",
)
