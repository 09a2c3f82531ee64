"""How an answer to a task with a known answer did. No Django."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations, product
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def gold_score(gold: Sequence[Sequence[Item]], tiers: Sequence[Sequence[Item]]) -> float:
    """The share of gold's pairs that `tiers` reproduce, from 0 to 1.

    Gold's pairs are those of two items in different tiers: about items that it ties, gold says nothing, and
    either order of them is right. A pair counts 1 where the answer puts the same item first, ½ where it ties
    them or leaves both unranked, 0 where it turns them round. An item that the answer leaves unranked stands
    below all that it ranks. Nothing ranked at all (not rankable, all bad) is no reproduction: 0.

    Raises ValueError when gold has no such pair: then there is nothing to be right about.
    """
    points = gold_points(gold, tiers)
    if not points:
        raise ValueError("gold that puts nothing above anything can't be reproduced")
    return sum(points.values()) / len(points)


def gold_points(
    gold: Sequence[Sequence[Item]], tiers: Sequence[Sequence[Item]]
) -> dict[tuple[Item, Item], float]:
    """What `tiers` earn for each of gold's pairs (better, worse), by the rule of :func:`gold_score`."""
    place = {item: index for index, tier in enumerate(tiers) for item in tier}
    unranked = len(tiers)
    points = {}
    for above, below in combinations(gold, 2):
        for pair in product(above, below):
            one, two = (place.get(item, unranked) for item in pair)
            points[pair] = 1.0 if place and one < two else 0.5 if place and one == two else 0.0
    return points
