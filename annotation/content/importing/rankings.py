"""Writes each imported ranking and its pairs once. A later ranking by the same annotator is a revision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from annotation.database.bulk import Column, as_array, as_bool, as_json, as_text, copy_rows
from annotation.desk.comparisons import RankedTask, copy_comparisons
from annotation.ids import uuid7_texts
from annotation.models import Project, Ranking
from preferences.records import RankingRecord

_canonical = json.JSONEncoder(sort_keys=True).encode


class Ranked(NamedTuple):
    """A ranking and its task; `item` is the caller's identifier for the ranking's origin."""

    item: int
    task_id: str
    prompt_id: str
    response_ids: tuple[str, ...]
    ranking: RankingRecord
    task_is_new: bool


@dataclass(slots=True)
class NewRankings:
    """The number of new rankings, their items, and the items of rankings that revise an annotator's earlier
    ranking. `ordered` maps each task to the IDs of its new rankings with an order."""

    count: int
    items: set[int]
    again: set[int]
    ordered: dict[str, list[str]]


class _Draft(NamedTuple):
    id: str
    ranked: Ranked
    import_key: str
    supersedes: str | None


def insert_rankings(*, project: Project, ranked: Sequence[Ranked]) -> NewRankings:
    """Writes the rankings that don't exist yet, in input order. The caller must hold the project's
    `Lock.CONTENT`.

    A ranking is identified by its task and its content. An annotator is identified by the label in the file.
    If an annotator has ranked the same responses before, the new ranking supersedes the earlier ranking. A
    ranking without an order supersedes an earlier ranking without an order only if the new ranking contains
    all parts of the earlier ranking. Otherwise, a comment in a later row would replace the annotator's order
    or ratings.
    """
    own = _of_this_project(project, ranked)
    by_key: dict[str, Ranked] = {}
    for item in ranked:
        if item.ranking.external_id not in own:
            by_key.setdefault(_import_key(item), item)
    standing = _standing(project, by_key)
    ids = uuid7_texts(len(by_key))
    drafts: list[_Draft] = []
    again: set[int] = set()
    for id, (key, item) in zip(ids, by_key.items(), strict=True):
        if key in standing.keys:
            continue
        draft = _Draft(id, item, key, None)
        if item.ranking.annotator:
            former = standing.replaced_by(item, draft.id)
            if former is not None:
                draft = draft._replace(supersedes=former)
                again.add(item.item)
        drafts.append(draft)
    if drafts:
        _insert(project, drafts)
        copy_comparisons(
            RankedTask(
                draft.id,
                project.pk,
                draft.ranked.prompt_id,
                draft.ranked.response_ids,
                _tier_ids(draft.ranked),
                draft.ranked.ranking.strength,
            )
            for draft in drafts
        )
    ordered: dict[str, list[str]] = {}
    for draft in drafts:
        if draft.ranked.ranking.has_order:
            ordered.setdefault(draft.ranked.task_id, []).append(draft.id)
    return NewRankings(len(drafts), {draft.ranked.item for draft in drafts}, again, ordered)


def _of_this_project(project: Project, ranked: Iterable[Ranked]) -> set[str]:
    """Returns the external IDs in `ranked` that identify this project's own rankings. An import skips the
    project's own rankings, so reimporting an export is a no-op."""
    given = {item.ranking.external_id for item in ranked} - {""}
    ids = {id: text for text in given if (id := _uuid(text)) is not None}
    if not ids:
        return set()
    found = Ranking.objects.filter(project=project, pk__in=ids).values_list("pk", flat=True)
    return {ids[id] for id in found}


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


class _Current(NamedTuple):
    """An annotator's current ranking. `parts` contains the names of the parts of a ranking without an
    order."""

    id: str
    parts: frozenset[str]


class _Standing(NamedTuple):
    """The tasks' existing rankings: import keys, and each annotator's current rankings. The key of `current`
    is the task's ID, the annotator's label, and whether the ranking has an order. An annotator can have
    several current rankings without an order, for example ratings and a comment."""

    keys: set[str]
    current: dict[tuple[str, str, bool], list[_Current]]

    def replaced_by(self, item: Ranked, id: str) -> str | None:
        """Adds a new ranking. Returns the ID of the ranking that the new ranking supersedes, if any."""
        parts = _parts(item)
        place = item.task_id, item.ranking.annotator, item.ranking.has_order
        current = self.current.setdefault(place, [])
        former = next((one for one in current if one.parts <= parts), None)
        if former is not None:
            current.remove(former)
        current.append(_Current(id, parts))
        return None if former is None else former.id


def _parts(item: Ranked) -> frozenset[str]:
    """The names of the parts of a ranking without an order, spelled as in `_standing`'s query. Empty for a
    ranking with an order."""
    ranking = item.ranking
    if ranking.has_order:
        return frozenset()
    named: list[tuple[str, Iterable[str]]] = [
        ("ratings", [item.response_ids[index] for index in ranking.ratings]),
        ("flags", [item.response_ids[index] for index in ranking.flags]),
        ("choices", ranking.choices),
        ("metadata", ranking.metadata),
    ]
    whole = {
        "confidence": ranking.confidence is not None,
        "comment": ranking.comment != "",
        "rewrite": ranking.rewrite is not None,
    }
    return frozenset(
        [f"{name} {key}" for name, keys in named for key in keys] + [name for name in whole if whole[name]]
    )


def _standing(project: Project, by_key: Mapping[str, Ranked]) -> _Standing:
    """Reads the existing rankings of the tasks in `by_key`. Tasks created in this transaction have no
    rankings and are skipped, so a first import runs no query here."""
    old = {key: item for key, item in by_key.items() if not item.task_is_new}
    if not old:
        return _Standing(set(), {})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT import_key FROM annotation_ranking WHERE project_id = %s AND import_key = ANY(%s)",
            [project.pk, list(old)],
        )
        keys = {key for (key,) in cursor.fetchall()}
        labelled = {item.task_id for key, item in old.items() if item.ranking.annotator and key not in keys}
        if not labelled:
            return _Standing(keys, {})
        cursor.execute(
            """
            SELECT task_id::text, annotator_label, has_order, id::text,
              CASE WHEN has_order THEN '{}' ELSE ARRAY(
                SELECT 'ratings ' || key FROM jsonb_object_keys(ratings) key
                UNION ALL SELECT 'flags ' || key FROM jsonb_object_keys(flags) key
                UNION ALL SELECT 'choices ' || key FROM jsonb_object_keys(choices) key
                UNION ALL SELECT 'metadata ' || key FROM jsonb_object_keys(metadata) key
                UNION ALL SELECT 'confidence' WHERE confidence IS NOT NULL
                UNION ALL SELECT 'comment' WHERE comment <> ''
                UNION ALL SELECT 'rewrite' WHERE rewrite IS NOT NULL) END
              FROM annotation_ranking ranking,
                LATERAL (SELECT tiers <> '[]' OR not_rankable OR all_bad) AS kind (has_order)
             WHERE task_id = ANY(%s) AND annotator_id IS NULL AND annotator_label <> '' AND NOT EXISTS (
                SELECT FROM annotation_ranking later WHERE later.supersedes_id = ranking.id)
             ORDER BY id
            """,
            [list(labelled)],
        )
        standing = _Standing(keys, {})
        for task_id, label, has_order, id, parts in cursor.fetchall():
            current = standing.current.setdefault((task_id, label, has_order), [])
            current.append(_Current(id, frozenset(parts)))
    return standing


def _import_key(item: Ranked) -> str:
    """SHA-256 (hex) of a ranking's task and content. The hashed value contains response IDs instead of
    texts, because a project stores each response once."""
    ids = item.response_ids
    ranking = item.ranking
    content: list[Any] = [
        ranking.external_id,
        item.task_id,
        [sorted(ids[index] for index in tier) for tier in ranking.tiers],
        ranking.annotator,
        ranking.strength,
        {ids[index]: value for index, value in ranking.ratings.items()},
        {ids[index]: value for index, value in ranking.flags.items()},
        ranking.not_rankable,
        ranking.comment,
        ranking.rewrite,
    ]
    # Fields that were added to this format later are omitted when empty, so that existing keys stay the same.
    for name, value in (
        ("choices", ranking.choices),
        ("confidence", ranking.confidence),
        ("all_bad", ranking.all_bad),
    ):
        if value or (value == 0 and value is not False):
            content.append([name, value])
    # If two rankings without an order are otherwise equal, their metadata and their time distinguish them.
    # If a value from an annotation tool has no field in a ranking, the metadata contains the value.
    if not ranking.has_order:
        content.append(["metadata", ranking.metadata])
        content.append(["given_at", ranking.given_at and ranking.given_at.isoformat()])
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _tier_ids(item: Ranked) -> list[list[str]]:
    """Tiers of response IDs. Tied responses keep their order in the file."""
    return [[item.response_ids[index] for index in sorted(tier)] for tier in item.ranking.tiers]


def _insert(project: Project, drafts: Sequence[_Draft]) -> None:
    def by_id(draft: _Draft, values: Mapping[int, Any]) -> dict[str, Any]:
        return {draft.ranked.response_ids[index]: value for index, value in values.items()}

    rankings = [draft.ranked.ranking for draft in drafts]
    copy_rows(
        "annotation_ranking",
        constants={
            "project_id": str(project.pk),
            "source": Ranking.Source.IMPORT.value,
            "kind": Ranking.Kind.ANNOTATION.value,
            "touched": "t",
            "created_at": timezone.now().isoformat(),
        },
        columns={
            "id": Column([draft.id for draft in drafts]),
            "task_id": Column([draft.ranked.task_id for draft in drafts]),
            "annotator_label": Column([ranking.annotator for ranking in rankings], as_text),
            "shown_order": Column([draft.ranked.response_ids for draft in drafts], as_array),
            "tiers": Column([_tier_ids(draft.ranked) for draft in drafts], as_json),
            "strength": Column([ranking.strength for ranking in rankings]),
            "ratings": Column([by_id(draft, draft.ranked.ranking.ratings) for draft in drafts], as_json),
            "flags": Column([by_id(draft, draft.ranked.ranking.flags) for draft in drafts], as_json),
            "choices": Column([ranking.choices for ranking in rankings], as_json),
            "confidence": Column([ranking.confidence for ranking in rankings]),
            "not_rankable": Column([ranking.not_rankable for ranking in rankings], as_bool),
            "all_bad": Column([ranking.all_bad for ranking in rankings], as_bool),
            "comment": Column([ranking.comment for ranking in rankings], as_text),
            "rewrite": Column([ranking.rewrite for ranking in rankings], as_text),
            "duration_ms": Column([ranking.duration_ms for ranking in rankings]),
            "metadata": Column([ranking.metadata for ranking in rankings], as_json),
            "given_at": Column([ranking.given_at for ranking in rankings]),
            "supersedes_id": Column([draft.supersedes for draft in drafts]),
            "import_key": Column([draft.import_key for draft in drafts]),
        },
    )
