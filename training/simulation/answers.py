"""The parts of a simulated answer other than the order of the responses. Examples are strengths, ratings and
the selection of the best responses.

These parts follow the judge's points. A form can require something that the judge doesn't know, for example a
choice or a confidence. In that case, the answer is random and carries no information.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

# Points have no fixed scale. The lead of a response with `a` points over a response with `b` points is
# therefore measured relative to |a| + |b|. Each strength level above the lowest requires a relative lead that
# is larger by this amount.
LEAD_PER_LEVEL = 0.2


def other_parts(
    assignment: Mapping[str, Any],
    tiers: Sequence[Sequence[str]],
    points: Mapping[str, float] | None,
    rng: random.Random,
) -> dict[str, Any]:
    """Return the parts of an answer that the assignment's form requires, including the tiers. `points` is
    None for a noisy answer."""
    form = assignment["form"]
    tiers = best_few(tiers, form.get("top_k"))
    parts: dict[str, Any] = {"tiers": tiers}
    ranked = [name for tier in tiers for name in tier]
    below = (
        tiers[1] if len(tiers) > 1 else [r["id"] for r in assignment["responses"] if r["id"] not in ranked]
    )
    strength = form.get("strength")
    if strength and strength["required"] and below:
        levels = sorted(level["value"] for level in strength["levels"])
        parts["strength"] = (
            rng.choice(levels)
            if points is None
            else levels[_lead(points[ranked[0]], max(points[name] for name in below), len(levels))]
        )
    if scales := [scale for scale in form.get("ratings", []) if scale["required"]]:
        parts["ratings"] = {
            response["id"]: {
                scale["name"]: rng.randint(scale["min"], scale["max"])
                if points is None
                else rating_of(points[response["id"]], scale["min"], scale["max"])
                for scale in scales
            }
            for response in assignment["responses"]
        }
    if questions := [question for question in form.get("questions", []) if question["required"]]:
        parts["choices"] = {
            question["name"]: rng.choice(question["choices"])["name"] for question in questions
        }
    if (confidence := form.get("confidence")) and confidence["required"]:
        parts["confidence"] = rng.choice(confidence["levels"])["value"]
    if (comment := form.get("comment")) and comment["required"]:
        parts["comment"] = "Ranked by a simulated annotator."
    if (rewrite := form.get("rewrite")) and rewrite["required"]:
        parts["rewrite"] = next(r["text"] for r in assignment["responses"] if r["id"] == ranked[0]) or "-"
    return parts


def best_few(tiers: Sequence[Sequence[str]], top_k: Mapping[str, int] | None) -> list[list[str]]:
    """Return the tiers, truncated to the maximum number of responses that the form accepts."""
    room = top_k["at_most"] if top_k else sum(map(len, tiers))
    kept: list[list[str]] = []
    for tier in tiers:
        if part := list(tier)[:room]:
            kept.append(part)
        room -= len(part)
    return kept


def rating_of(points: float, low: int, high: int) -> int:
    """Return a rating for points without a fixed scale. A response with 0 points gets the middle rating. More
    points never give a lower rating."""
    share = (1 + points / (1 + abs(points))) / 2
    return low + round(share * (high - low))


def _lead(best: float, next_best: float, levels: int) -> int:
    size = abs(best) + abs(next_best)
    lead = (best - next_best) / size if size else 0.0
    return min(levels - 1, int(lead / LEAD_PER_LEVEL))
