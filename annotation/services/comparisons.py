"""The pairs of rankings as rows, for submitted and for imported rankings alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from annotation.pairs import comparisons_of, unranked_of
from annotation.services.bulk import insert_rows


class RankedTask(NamedTuple):
    """What :func:`insert_comparisons` has to know of a ranking just written."""

    ranking_id: UUID
    project_id: UUID
    prompt_id: UUID
    shown: Sequence[UUID]
    tiers: Sequence[Sequence[UUID]]
    strength: int | None


def insert_comparisons(ranked: Iterable[RankedTask]) -> int:
    """Writes the pairs of rankings written in this same transaction; gives their number."""
    rows = [
        (item.ranking_id, item.project_id, item.prompt_id, *pair)
        for item in ranked
        for pair in comparisons_of(item.tiers, item.strength, unranked_of(item.shown, item.tiers))
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
    insert_rows("annotation_comparison", columns=columns, constants={}, skip_existing=False, returning=False)
    return len(rows)
