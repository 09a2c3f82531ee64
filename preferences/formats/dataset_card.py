"""The README.md of a snapshot: a dataset card in the Hugging Face Hub format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from preferences.formats.snapshot_parquet import COLUMN_MEANINGS

COUNTS = (
    "rankings",
    "tasks",
    "prompts",
    "annotators",
    "comparisons",
    "ties",
    "not_rankable",
    "without_order",
    "with_strength",
)
TABLES = ("splits", "sources", "rounds", "responses_per_ranking", "responses_by_model")
AGGREGATIONS = {
    "every": "One row per ranking, unchanged.",
    "majority": (
        "One row per task. If a reviewer has ranked the task, the row is the reviewer's ranking. "
        "Otherwise, each pair of responses is decided by the majority of annotators, and an even "
        "split is a tie. Where these majorities form a cycle, the responses in the cycle are "
        "ordered by mean rank (Borda count). `decided_by` is the rule that was applied, and "
        "`votes` is the number of rankings that a row combines. Rankings without an order are not counted if "
        "another ranking of the task has an order, but their ratings, flags and choices are included."
    ),
    "weighted": (
        "One row per ranking. `weight` is the annotator's reliability, estimated from agreement with other "
        "annotators. The mean weight over all rankings with tiers is 1."
    ),
}


def readme(card: Mapping[str, Any]) -> str:
    """Return the dataset card. The card's YAML front matter tells `datasets.load_dataset(FOLDER)` to load the
    Parquet file."""
    name, file = json.dumps(card["name"], ensure_ascii=False), card["file"]
    licence = card.get("license") or ""
    front = f"license: {json.dumps(licence, ensure_ascii=False)}\n" if licence else ""
    sections = [
        f"""---
pretty_name: {name}
{front}tags: [human-preference, ranking, rlhf]
configs:
  - config_name: default
    data_files: {file}
---
# {card["project"]}: {card["name"]}

Human rankings of model responses, frozen by Rankloop at {card["frozen_at"]}. The file never changes; its
SHA-256 is `{card["sha256"]}`. Annotators are identified by pseudonyms.""",
        card.get("notes") or "",
        f"Licence: {licence or 'not stated'}.",
        _aggregation(card),
        _table([(key, card[key]) for key in COUNTS if key in card], "item", "number"),
        "\n".join(
            f"- {_words(key)}: " + ", ".join(f"{what or '(not named)'}: {n}" for what, n in card[key].items())
            for key in TABLES
        ),
        _weights(card),
        _agreement(card),
        _lineage(card),
        _table([(f"`{key}`", meaning) for key, meaning in COLUMN_MEANINGS.items()], "column", "meaning"),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _aggregation(card: Mapping[str, Any]) -> str:
    selection = dict(card["selection"])
    how = AGGREGATIONS[selection.pop("aggregation", "every")]
    chosen = json.dumps(selection, ensure_ascii=False) if selection else "all valid rankings"
    return f"Selected: {chosen}. {how}"


def _weights(card: Mapping[str, Any]) -> str:
    """A note that the weights are not final; empty if the estimate of the annotators' reliability
    converged."""
    convergence = (card.get("weights") or {}).get("convergence")
    if convergence is None or convergence["converged"]:
        return ""
    return (
        "**The weights are not final.** The estimate of the annotators' reliability did not converge within"
        f" {convergence['steps']} steps. The weights are computed from the best estimate that was"
        " found. If annotators answer nearly at random or share few pairs, their rankings contain little"
        " information about who is reliable."
    )


def _agreement(card: Mapping[str, Any]) -> str:
    agreement = card.get("agreement") or {}
    if agreement.get("share") is None:
        return ""
    return (
        f"Agreement: in {agreement['share']:.1%} of {agreement['pairs']} cases, two annotators who compared"
        " the same two responses gave the same verdict (first better, second better, or tie). These cases"
        f" come from {agreement['tasks']} tasks with two or more rankings."
    )


def _lineage(card: Mapping[str, Any]) -> str:
    lineage = card.get("lineage") or {}
    return "\n".join(f"- {_words(key)}: {value}" for key, value in lineage.items() if value not in (None, ""))


def _table(rows: list[tuple[str, Any]], *head: str) -> str:
    lines = [head, ("---",) * len(head), *((_words(str(key)), value) for key, value in rows)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _words(key: str) -> str:
    return key if key.startswith("`") else key.replace("_", " ")
