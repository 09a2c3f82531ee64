"""TRL's unpaired data (KTO, BCO): a completion and whether it is desirable.

The label requires an absolute judgement of the response. No label is derived from the order, because a chosen
response can still be bad, and a rejected response can be good. Ratings on one scale are compared with a
threshold to obtain the labels. If no response was rated, the labels are derived from flags.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from preferences.formats.export_format import (
    JSONL,
    SPLIT,
    ExportFormat,
    ExportRefused,
    Option,
    Options,
    Row,
    SnapshotFile,
    answer,
    has_order,
    json_lines,
)
from preferences.formats.losses import Part, all_but

READ = (
    "ranking_id",
    "prompt_id",
    "split",
    "messages",
    "responses",
    "tiers",
    "ratings",
    "flags",
    "not_rankable",
    "all_bad",
)


def _rule(card: Mapping[str, Any], options: Options) -> tuple[str, float, float]:
    """Return a scale and two limits as (scale, good, bad). A response rated at least `good` is desirable. A
    response rated below `bad` is undesirable. If `scale` is empty, flags determine the labels.

    Without a threshold, the middle of the scale separates desirable from undesirable responses. A response
    rated exactly in the middle has no label.
    """
    form, rated = card.get("form") or {}, card.get("ratings") or {}
    bounds = {scale["name"]: (scale["min"], scale["max"]) for scale in form.get("ratings") or []}
    scale, threshold = options.get("scale"), options.get("threshold")
    if scale is None:
        scale = next((name for name in [*bounds, *sorted(rated)] if name in rated), None)
    elif scale not in rated:
        known = ", ".join(sorted(rated)) or "none"
        raise ExportRefused(f"No response is rated on the scale {scale!r}; rated scales: {known}.", "scale")
    if scale is None:
        if card.get("flags"):
            if threshold is not None:
                raise ExportRefused("A threshold requires ratings, but no response was rated.", "threshold")
            return "", 0.0, 0.0
        raise ExportRefused(
            "No response in the snapshot was rated or flagged. The order alone does not show whether a "
            "response is good: a chosen response can still be bad. Ask for a rating or a flag in the "
            "project's form, or export pairs (trl_preference)."
        )
    if threshold is not None:
        return scale, threshold, threshold
    if scale not in bounds:
        raise ExportRefused(
            f"The project's form does not define the range of {scale!r}, so the middle of the scale "
            "is unknown. Set a threshold; responses rated at or above the threshold are desirable.",
            "threshold",
        )
    middle = sum(bounds[scale]) / 2
    return scale, math.nextafter(middle, math.inf), middle


def _labels(row: Row, scale: str, good: float, bad: float) -> Iterator[tuple[str, bool]]:
    ratings, flags = json.loads(row["ratings"]), json.loads(row["flags"])
    for response in row["responses"]:
        id, text = response["id"], response["text"]
        rating = (ratings.get(id) or {}).get(scale) if scale else good
        if flags.get(id):
            yield text, False
        elif isinstance(rating, (int, float)) and rating >= good:
            yield text, True
        elif isinstance(rating, (int, float)) and rating < bad:
            yield text, False


def _examples(snapshot: SnapshotFile, options: Options) -> Iterator[dict[str, Any]]:
    rule = _rule(snapshot.card, options)
    for row in snapshot.rows(*READ):
        if row["not_rankable"] and not row["ratings"].strip("{} "):
            continue
        # If the annotator left only a comment, a missing flag does not mean that a response is good.
        if not has_order(row) and not (row["ratings"] + row["flags"]).strip("{} "):
            continue
        for text, label in _labels(row, *rule):
            yield {
                "prompt": row["messages"],
                "completion": answer(text),
                "label": label,
                "prompt_group": row["prompt_id"],
                "ranking_id": row["ranking_id"],
                "split": row["split"],
            }


def _check(card: Mapping[str, Any], options: Options) -> None:
    _rule(card, options)


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(_examples(snapshot, options))


FORMAT = ExportFormat(
    name="trl_unpaired",
    title="TRL unpaired completions with a label (JSON Lines)",
    use="Desirable and undesirable responses for KTOTrainer, from ratings or flags.",
    loses=all_but(Part.CONVERSATIONS, Part.SYSTEM_TURNS, Part.TOOL_TURNS, Part.SPLIT, Part.RANKING_ID),
    notes=(
        "Ratings and flags become a label. If responses were rated, those with neither a rating nor a flag "
        "are left out. A response rated at or above `threshold` is desirable, and a response with a lower "
        "rating is undesirable. Without a threshold, the middle of the form's scale is used, and a response "
        "rated exactly in the middle is left out. A flagged response is undesirable regardless of its "
        "rating. If the form asks for flags but not for ratings, a response without a flag is desirable. A "
        "ranking without an order is exported only if it has ratings or flags. If no response in the "
        "snapshot was rated or flagged, the export is refused, because the order alone does not show whether "
        "a response is good."
    ),
    example=(
        '{"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content":'
        ' "A"}], "label": true, "prompt_group": "…", "ranking_id": "…", "split": "train"}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    check=_check,
    trainer="KTOTrainer",
    options=(
        SPLIT,
        Option("scale", "the rating scale that determines the label; by default the form's first scale"),
        Option(
            "threshold", "the lowest desirable rating; by default the middle of the scale", is_number=True
        ),
    ),
)
