"""The score of an answer to a task with a known answer. This module does not import Django."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, product
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def gold_score(gold: Sequence[Sequence[Item]], tiers: Sequence[Sequence[Item]]) -> float:
    """The share of the gold ranking's pairs that `tiers` reproduces, from 0 to 1.

    Only pairs of items in different gold tiers count. Items that are tied in the gold ranking can be in
    either order. A pair scores 1 if the answer puts the same item first, and 0 if the answer reverses the
    order. If the answer ties the two items or leaves both unranked, the pair scores ½. Unranked items are
    below all ranked items. An answer without any ranking (not rankable, all bad) scores 0.

    Raises ValueError if the gold ranking has no strict pair, because every answer would then be correct.
    """
    points = gold_points(gold, tiers)
    if not points:
        raise ValueError("the gold ranking must put at least one item above another")
    return sum(points.values()) / len(points)


def gold_points(
    gold: Sequence[Sequence[Item]], tiers: Sequence[Sequence[Item]]
) -> dict[tuple[Item, Item], float]:
    """The points that `tiers` earns for each gold pair (better, worse). See :func:`gold_score` for the
    rule."""
    place = {item: index for index, tier in enumerate(tiers) for item in tier}
    unranked = len(tiers)
    points = {}
    for above, below in combinations(gold, 2):
        for pair in product(above, below):
            one, two = (place.get(item, unranked) for item in pair)
            points[pair] = 1.0 if place and one < two else 0.5 if place and one == two else 0.0
    return points
