"""Rankings whose responses do not form a task can't be stored as rankings. They are added to the metadata of
the response or of the prompt."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from django.db import connection

from annotation.content.content_rows import StoredContent, Wanted
from preferences.records import RankingRecord

KEY = "left_out_rankings"
# `training` contains fields that only training reads. An import does not store them.
_FIELDS = [field.name for field in fields(RankingRecord) if field.name != "training"]
_EMPTY = RankingRecord(())


def contents_of(rankings: Sequence[RankingRecord]) -> list[dict[str, Any]]:
    """The rankings' values as JSON. Tiers, ratings and flags refer to a response by its index among the row's
    responses in the file. A ranking that only orders identical responses is omitted."""
    return [content for ranking in rankings if not {"tiers"} >= (content := _content(ranking)).keys()]


def _content(ranking: RankingRecord) -> dict[str, Any]:
    found = {name: value for name in _FIELDS if (value := getattr(ranking, name)) != getattr(_EMPTY, name)}
    if ranking.given_at is not None:
        found["given_at"] = ranking.given_at.isoformat()
    return found


def keep_left_out(
    *, left_out: Iterable[tuple[int, Wanted, Sequence[dict[str, Any]]]], stored: StoredContent
) -> set[int]:
    """Adds the contents of left-out rankings to the metadata of the ranked response. If the rankings have no
    response, or several, the contents are added to the metadata of the prompt. Contents that are already in
    the metadata are not added again. Returns the items (indices of lines in the batch) whose contents were
    added."""
    added: set[int] = set()
    with connection.cursor() as cursor:
        for item, wanted, contents in left_out:
            table, id = "prompt", stored.prompts[wanted.prepared.prompt_hash]
            if len(wanted.prepared.response_hashes) == 1:
                table, id = "response", stored.responses[id, wanted.prepared.response_hashes[0]]
            for content in contents:
                text = json.dumps(content)
                cursor.execute(
                    f"UPDATE annotation_{table} SET metadata = metadata || jsonb_build_object(%s::text,"
                    " COALESCE(metadata -> %s, '[]') || jsonb_build_array(%s::jsonb))"
                    " WHERE id = %s AND NOT EXISTS (SELECT FROM jsonb_path_query(metadata, %s) kept"
                    " WHERE kept = %s::jsonb)",
                    [KEY, KEY, text, id, f"$.{KEY}[*]", text],
                )
                if cursor.rowcount:
                    added.add(item)
    return added
