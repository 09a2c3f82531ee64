"""Combine several rankings of the same responses into one. This module does not import Django.

The full rule (repeated in dataset cards and docs/formats.md):

1. Each pair of responses is decided by majority. The response preferred by more rankings wins. If equally
   many rankings prefer each response, the pair is a tie. Rankings that leave both responses unranked are
   ignored for that pair.
2. If all majorities are consistent with a single order (possibly with ties), that order is the consensus.
   `decided_by` is then `majority`.
3. If the majorities form a cycle, the responses in the cycle are ordered by mean rank (the Borda count). For
   each pair in the cycle, the vote margin is divided by the number of votes on the pair. A response's score
   is the sum of these quotients over its pairs in the cycle. Responses with equal scores are tied. Pairs
   outside the cycle keep their majority, and `decided_by` is `borda`.

The rule satisfies the Condorcet criterion: a response that beats every other response ranks first. The rule
also satisfies the Pareto criterion: unanimous preferences are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

Tiers = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Consensus:
    tiers: list[list[int]]
    unranked: list[int]
    decided_by: str


def consensus(rankings: Sequence[Tiers], count: int) -> Consensus:
    """Return the consensus ranking of responses 0 … count-1. In each ranking, responses that are in no tier
    rank below all tiers."""
    places = [_places(tiers) for tiers in rankings]
    ranked = [index for index in range(count) if any(index in place for place in places)]
    margin = {index: dict.fromkeys(ranked, Fraction(0)) for index in ranked}
    for one, two in combinations(ranked, 2):
        said = [sign for place in places if (sign := _sign(place, one, two)) is not None]
        margin[one][two] = Fraction(sum(said), len(said) or 1)
        margin[two][one] = -margin[one][two]
    tiers: list[list[int]] = []
    decided_by = "majority"
    for circle in _circles(ranked, margin):
        inside = {index: sum(margin[index][other] for other in circle) for index in circle}
        if any(margin[one][two] for one, two in combinations(circle, 2)):
            decided_by = "borda"
        for score in sorted(set(inside.values()), reverse=True):
            tiers.append(sorted(index for index in circle if inside[index] == score))
    return Consensus(tiers, [index for index in range(count) if index not in margin], decided_by)


def _places(tiers: Tiers) -> dict[int, int]:
    return {index: place for place, tier in enumerate(tiers) for index in tier}


def _sign(places: dict[int, int], one: int, two: int) -> int | None:
    """The ranking's verdict: 1 if `one` is preferred, -1 if `two` is preferred, and 0 for a tie. If the
    ranking contains neither response, there is no verdict (None)."""
    if one not in places and two not in places:
        return None
    below = len(places) + 1
    left, right = places.get(one, below), places.get(two, below)
    return (left < right) - (left > right)


def _circles(items: Sequence[int], margin: dict[int, dict[int, Fraction]]) -> list[list[int]]:
    """Group items that are mutually reachable through the relation "at least as good as", best group first.

    Any two items are related in at least one direction, so the groups are totally ordered. More items can
    be reached from a better group than from a worse group.
    """
    reach = {one: {two for two in items if margin[one][two] >= 0} for one in items}
    for middle in items:
        for one in items:
            if middle in reach[one]:
                reach[one] |= reach[middle]
    groups: dict[frozenset[int], list[int]] = {}
    for item in items:
        groups.setdefault(frozenset(reach[item]), []).append(item)
    return [groups[key] for key in sorted(groups, key=len, reverse=True)]
