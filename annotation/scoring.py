"""How an answer to a task with a known answer did. No Django."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations
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
    wanted = [
        (better, worse) for above, below in combinations(gold, 2) for better in above for worse in below
    ]
    if not wanted:
        raise ValueError("gold that puts nothing above anything can't be reproduced")
    place = {item: index for index, tier in enumerate(tiers) for item in tier}
    if not place:
        return 0.0
    unranked = len(tiers)
    points = 0.0
    for better, worse in wanted:
        one, two = place.get(better, unranked), place.get(worse, unranked)
        points += 1.0 if one < two else 0.5 if one == two else 0.0
    return points / len(wanted)
