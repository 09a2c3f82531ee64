"""What a simulated annotator says beside the order, so that any answer form can be simulated.

The best few, strengths and ratings follow the judge's points. Where a form requires something that the judge
knows nothing of (which are safe, how sure one is), a choice is made by chance: it is there, and says nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

# Judges' points are of any size: the part of |a| + |b| by which a must lead b to be a level stronger.
LEAD_PER_LEVEL = 0.2


def other_parts(
    assignment: Mapping[str, Any],
    tiers: Sequence[Sequence[str]],
    points: Mapping[str, float] | None,
    rng: random.Random,
) -> dict[str, Any]:
    """All that the assignment's form requires, with the tiers it takes; `points` None: a noisy answer."""
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
        parts["comment"] = "Ranked by a program."
    if (rewrite := form.get("rewrite")) and rewrite["required"]:
        parts["rewrite"] = next(r["text"] for r in assignment["responses"] if r["id"] == ranked[0]) or "-"
    return parts


def best_few(tiers: Sequence[Sequence[str]], top_k: Mapping[str, int] | None) -> list[list[str]]:
    """The tiers cut after as many responses as the form takes."""
    room = top_k["at_most"] if top_k else sum(map(len, tiers))
    kept: list[list[str]] = []
    for tier in tiers:
        if part := list(tier)[:room]:
            kept.append(part)
        room -= len(part)
    return kept


def rating_of(points: float, low: int, high: int) -> int:
    """Points of any size on a scale: 0 is its middle, and more is never less."""
    share = (1 + points / (1 + abs(points))) / 2
    return low + round(share * (high - low))


def _lead(best: float, next_best: float, levels: int) -> int:
    size = abs(best) + abs(next_best)
    lead = (best - next_best) / size if size else 0.0
    return min(levels - 1, int(lead / LEAD_PER_LEVEL))
