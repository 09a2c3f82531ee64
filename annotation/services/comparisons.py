"""From a ranking to its pairs: the one derivation, for submitted and for imported rankings alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from annotation.services.bulk import insert_rows

Item = TypeVar("Item")


class Pair(NamedTuple, Generic[Item]):
    preferred: Item
    other: Item
    is_tie: bool
    strength: int | None


class RankedTask(NamedTuple):
    """What :func:`insert_comparisons` has to know of a ranking just written."""

    ranking_id: UUID
    project_id: UUID
    prompt_id: UUID
    tiers: Sequence[Sequence[UUID]]
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


def insert_comparisons(ranked: Iterable[RankedTask]) -> int:
    """Writes the pairs of rankings written in this same transaction; gives their number."""
    rows = [
        (item.ranking_id, item.project_id, item.prompt_id, *pair)
        for item in ranked
        for pair in comparisons_of(item.tiers, item.strength)
    ]
    kinds = {
        "ranking_id": "uuid",
        "project_id": "uuid",
        "prompt_id": "uuid",
        "preferred_id": "uuid",
        "other_id": "uuid",
        "is_tie": "boolean",
        "strength": "smallint",
    }
    columns = {name: (kind, [row[place] for row in rows]) for place, (name, kind) in enumerate(kinds.items())}
    return len(insert_rows("annotation_comparison", columns=columns, constants={}, skip_existing=False))
