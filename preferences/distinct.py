"""Remove repeated responses from a record: a file can contain the same response twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preferences.records import Record, Tiers


def distinct(record: Record) -> tuple[Record, bool]:
    """Return the record without repeated responses, and whether any response was removed.

    A response is identified by its text and its model, as in the database. A repeated response keeps its best
    position in a ranking, and the ratings and flags of its first occurrence.
    """
    given = [(response.text, response.model) for response in record.responses]
    if len(set(given)) == len(given):
        return record, False
    kept = {response: index for index, response in reversed(list(enumerate(given)))}
    indices = sorted(kept.values())
    renumbered = {index: indices.index(kept[response]) for index, response in enumerate(given)}
    return replace(
        record,
        responses=tuple(record.responses[index] for index in indices),
        rankings=tuple(
            replace(
                ranking,
                tiers=_merged(ranking.tiers, renumbered),
                ratings={renumbered[index]: value for index, value in reversed(ranking.ratings.items())},
                flags={renumbered[index]: value for index, value in reversed(ranking.flags.items())},
            )
            for ranking in record.rankings
        ),
        gold_tiers=None if record.gold_tiers is None else _merged(record.gold_tiers, renumbered),
    ), True


def _merged(tiers: Sequence[Sequence[int]], renumbered: dict[int, int]) -> Tiers:
    seen: set[int] = set()
    merged = []
    for tier in tiers:
        members = {renumbered[index] for index in tier} - seen
        seen |= members
        merged.append(tuple(sorted(members)))
    return tuple(tier for tier in merged if tier)
