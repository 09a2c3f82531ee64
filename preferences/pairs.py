"""Derive the pairs of responses from a ranking, for the database and for every export. This module does not
import Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Pair(NamedTuple, Generic[Item]):
    preferred: Item
    other: Item
    is_tie: bool
    strength: int | None


def comparisons_of(
    tiers: Sequence[Sequence[Item]], strength: int | None = None, unranked: Sequence[Item] = ()
) -> list[Pair[Item]]:
    """All pairs of two ranked items, better item first, and all pairs of a ranked and an unranked item.

    A pair within one tier is a tie; its items keep the tier's order. Two unranked items form no pair, because
    a tie would mean that they are equally good. `strength` compares the first tier with the second, so only
    pairs between these two tiers have a strength.
    """
    placed = [(item, place) for place, tier in enumerate(tiers) for item in tier]
    below = [(item, len(tiers)) for item in unranked]
    return [
        Pair(one, two, place == next_place, strength if (place, next_place) == (0, 1) else None)
        for number, (one, place) in enumerate(placed)
        for two, next_place in [*placed[number + 1 :], *below]
    ]


def unranked_of(shown: Sequence[Item], tiers: Sequence[Sequence[Item]]) -> list[Item]:
    """The items that were shown but not ranked, in display order; empty if nothing was ranked."""
    ranked = {item for tier in tiers for item in tier}
    return [item for item in shown if item not in ranked] if ranked else []
