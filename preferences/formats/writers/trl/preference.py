"""TRL's preference data in the conversational format (lists of {role, content}). The prompt is explicit, and
there is one row per strict pair.

Without an explicit prompt, TRL would use the longest common prefix (in characters) of the two texts as the
prompt. In one hh-rlhf file, this rule moved part of the response into the prompt in 19 % of the rows. Ties
are left out because the format can't express them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from preferences.formats.export_format import JSONL as JSONL_TYPE
from preferences.formats.export_format import (
    ExportFormat,
    Options,
    SnapshotFile,
    answer,
    json_lines,
    needs_rankings,
    pairs_of,
)
from preferences.formats.losses import Part, all_but
from preferences.formats.snapshot_parquet import MESSAGES, parquet_bytes

COLUMNS = [("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES)]
LABELS = [("prompt_group", pa.string()), ("ranking_id", pa.string()), ("split", pa.string())]
READ = (
    "ranking_id",
    "prompt_id",
    "split",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "strength",
    "weight",
)


def _numbers(card: Mapping[str, Any]) -> list[str]:
    """The names of the numeric columns. TRL requires a `margin` in every row or in none. A row without a
    strength therefore has a margin of 0, which has no effect."""
    weighted = card.get("selection", {}).get("aggregation") == "weighted"
    return [*(["margin"] if card["with_strength"] else []), *(["weight"] if weighted else [])]


def _pairs(snapshot: SnapshotFile) -> Iterator[dict[str, Any]]:
    """The strict pairs of each ranking. In training, pairs with the same `prompt_group` should be in
    the same batch."""
    numbers = _numbers(snapshot.card)
    for row in snapshot.rows(*READ):
        texts = [response["text"] for response in row["responses"]]
        for pair in pairs_of(row):
            if pair.is_tie:
                continue
            found = {"margin": float(pair.strength or 0), "weight": row["weight"]}
            yield {
                "prompt": row["messages"],
                "chosen": answer(texts[pair.preferred]),
                "rejected": answer(texts[pair.other]),
                **{name: found[name] for name in numbers},
                "prompt_group": row["prompt_id"],
                "ranking_id": row["ranking_id"],
                "split": row["split"],
            }


def _jsonl(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_pairs(snapshot))


def _parquet(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    numbers = [(name, pa.float64()) for name in _numbers(snapshot.card)]
    return parquet_bytes(_pairs(snapshot), pa.schema([*COLUMNS, *numbers, *LABELS]))


LOSES = all_but(
    Part.CONVERSATIONS,
    Part.SYSTEM_TURNS,
    Part.TOOL_TURNS,
    Part.SPLIT,
    Part.RESPONSES,
    Part.PREFERENCES,
    Part.STRENGTH,
    Part.RANKING_ID,
    Part.WEIGHT,
)
NOTES = (
    "Rankings of more than two responses become pairs; responses left unranked form no pair with each other. "
    "`margin` is the strength for pairs between the first and the second tier, and 0 for all other pairs. If "
    "no ranking has a strength, `margin` is left out. `weight` is present only if the snapshot is "
    "reliability-weighted; TRL itself does not read `weight`."
)
EXAMPLE = (
    '{"prompt": [{"role": "user", "content": "Q"}], "chosen": [{"role": "assistant", "content": "A"}],'
    ' "rejected": [{"role": "assistant", "content": "B"}], "margin": 2.0, "prompt_group": "…",'
    ' "ranking_id": "…", "split": "train"}'
)
JSONL = ExportFormat(
    name="trl_preference",
    title="Conversational TRL preference pairs with an explicit prompt (JSON Lines)",
    use="Pairs of a chosen and a rejected response, for RewardTrainer, DPOTrainer and every "
    "trainer that reads preference pairs.",
    loses=LOSES,
    notes=NOTES,
    example=EXAMPLE,
    suffix=".jsonl",
    media_type=JSONL_TYPE,
    write=_jsonl,
    check=needs_rankings,
    imports_as="trl-preference",
    trainer="RewardTrainer",
)
PARQUET = ExportFormat(
    name="trl_preference_parquet",
    title="Conversational TRL preference pairs with an explicit prompt (Parquet)",
    use="The same pairs as in `trl_preference`, in a smaller file that loads faster.",
    loses=LOSES,
    notes=NOTES,
    example=EXAMPLE,
    suffix=".parquet",
    media_type="application/vnd.apache.parquet",
    write=_parquet,
    check=needs_rankings,
    imports_as="trl-preference",
    loader="parquet",
    trainer="RewardTrainer",
)
