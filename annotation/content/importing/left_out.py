"""Keeps rankings that can't be stored, because their record has no task, as metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from preferences.records import RankingRecord, Record

KEY = "left_out_rankings"
# `metadata` is written last, and training fields are not stored by any import.
_FIELDS = [field.name for field in fields(RankingRecord) if field.name != "training"]
_EMPTY = RankingRecord(())


def with_left_out(record: Record, rankings: Sequence[RankingRecord]) -> Record:
    """Returns the record without rankings. `rankings` are the rankings as they are in the file. They are kept
    in the metadata of the response, or of the prompt unless there is exactly one response."""
    kept = [content for ranking in rankings if (content := _content(ranking))]
    record = replace(record, rankings=())
    if not kept:
        return record
    if len(record.responses) != 1:
        return replace(record, metadata={**record.metadata, KEY: kept})
    (response,) = record.responses
    return replace(record, responses=(replace(response, metadata={**response.metadata, KEY: kept}),))


def _content(ranking: RankingRecord) -> dict[str, Any]:
    """The ranking's values as JSON. Tiers, ratings and flags refer to the responses by their index in the
    file. A ranking that only orders identical responses has no content."""
    found = {name: value for name in _FIELDS if (value := getattr(ranking, name)) != getattr(_EMPTY, name)}
    if set(found) <= {"tiers"}:
        return {}
    if ranking.given_at is not None:
        found["given_at"] = ranking.given_at.isoformat()
    return found
