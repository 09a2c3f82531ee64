"""Comparisons: one row for each pair of responses in a submitted or imported ranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from annotation.database.bulk import Column, as_bool, copy_rows, insert_rows
from preferences.pairs import comparisons_of, unranked_of


class RankedTask(NamedTuple):
    """The values of a new ranking that :func:`insert_comparisons` needs."""

    ranking_id: UUID | str
    project_id: UUID | str
    prompt_id: UUID | str
    shown: Sequence[UUID] | Sequence[str]
    tiers: Sequence[Sequence[UUID]] | Sequence[Sequence[str]]
    strength: int | None


KINDS = {
    "ranking_id": "uuid",
    "project_id": "uuid",
    "prompt_id": "uuid",
    "preferred_id": "uuid",
    "other_id": "uuid",
    "is_tie": "boolean",
    "strength": "smallint",
}


def insert_comparisons(ranked: Iterable[RankedTask]) -> int:
    """Writes the comparisons of rankings that were written in the same transaction. Returns the number of
    comparisons."""
    rows = _rows(ranked)
    columns = {name: (kind, [row[place] for row in rows]) for place, (name, kind) in enumerate(KINDS.items())}
    insert_rows("annotation_comparison", columns)
    return len(rows)


def copy_comparisons(ranked: Iterable[RankedTask]) -> int:
    """Like :func:`insert_comparisons`, but uses COPY, which is faster for thousands of rankings."""
    rows = _rows(ranked)
    write = {"is_tie": as_bool}
    copy_rows(
        "annotation_comparison",
        columns={
            name: Column([row[place] for row in rows], write.get(name, str))
            for place, name in enumerate(KINDS)
        },
        constants={},
    )
    return len(rows)


def _rows(ranked: Iterable[RankedTask]) -> list[tuple[Any, ...]]:
    return [
        (item.ranking_id, item.project_id, item.prompt_id, *pair)
        for item in ranked
        for pair in comparisons_of(item.tiers, item.strength, unranked_of(item.shown, item.tiers))
    ]
