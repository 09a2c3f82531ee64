"""From a ranking to its pairs: the one derivation, for the database and for every export. No Django."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Pair(NamedTuple, Generic[Item]):
    preferred: Item
    other: Item
    is_tie: bool
    strength: int | None


def comparisons_of(tiers: Sequence[Sequence[Item]], strength: int | None = None) -> list[Pair[Item]]:
    """All K(K−1)/2 pairs of K ranked items, best first; a pair within one tier is a tie, in the tier's order.

    `strength` says how much better the first tier is than the second, so only their pairs carry it.
    """
    placed = [(item, place) for place, tier in enumerate(tiers) for item in tier]
    return [
        Pair(one, two, place == next_place, strength if (place, next_place) == (0, 1) else None)
        for (one, place), (two, next_place) in combinations(placed, 2)
    ]
