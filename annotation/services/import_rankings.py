"""The rankings of an import as rows: each once, with its pairs; a person who ranks again revises."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from annotation.formats.records import RankingRecord
from annotation.ids import uuid7
from annotation.models import Project, Ranking
from annotation.services.bulk import NOW, insert_rows
from annotation.services.comparisons import RankedTask, insert_comparisons

_canonical = json.JSONEncoder(sort_keys=True).encode


class Ranked(NamedTuple):
    """A ranking and the task it is of; `item` is the caller's name for where it came from."""

    item: int
    task_id: UUID
    prompt_id: UUID
    response_ids: tuple[UUID, ...]
    ranking: RankingRecord
    task_is_new: bool


@dataclass(slots=True)
class NewRankings:
    """How many were written, of which items, and in which of these an annotator ranks something again."""

    count: int
    items: set[int]
    again: set[int]


class _Draft(NamedTuple):
    id: UUID
    ranked: Ranked
    import_key: str
    supersedes: UUID | None


def insert_rankings(*, project: Project, ranked: Sequence[Ranked]) -> NewRankings:
    """Writes those that are not there yet, in the order given. Hold lock_content of the project.

    A ranking is known by what it says of which task. Where it is new, and its annotator (by the file's label)
    has ranked the same responses before, it supersedes that ranking.
    """
    own = _of_this_project(project, ranked)
    by_key: dict[str, Ranked] = {}
    for item in ranked:
        if item.ranking.external_id not in own:
            by_key.setdefault(_import_key(item), item)
    standing = _standing(project, by_key)
    drafts: list[_Draft] = []
    again: set[int] = set()
    for key, item in by_key.items():
        if key in standing.keys:
            continue
        draft = _Draft(uuid7(), item, key, None)
        if item.ranking.annotator:
            place = item.task_id, item.ranking.annotator
            former = standing.current.get(place)
            standing.current[place] = draft.id
            if former is not None:
                draft = draft._replace(supersedes=former)
                again.add(item.item)
        drafts.append(draft)
    if drafts:
        _insert(project, drafts)
        insert_comparisons(
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
    return NewRankings(len(drafts), {draft.ranked.item for draft in drafts}, again)


def _of_this_project(project: Project, ranked: Iterable[Ranked]) -> set[str]:
    """External ids that are this project's own rankings: its export, imported again, adds nothing."""
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


class _Standing(NamedTuple):
    """What is there already of the tasks ranked: import keys, and each annotator's current ranking."""

    keys: set[str]
    current: dict[tuple[UUID, str], UUID]


def _standing(project: Project, by_key: Mapping[str, Ranked]) -> _Standing:
    """A task made in this transaction has no rankings, so a first import asks nothing."""
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
            "SELECT task_id, annotator_label, id FROM annotation_ranking ranking"
            " WHERE task_id = ANY(%s) AND annotator_id IS NULL AND annotator_label <> '' AND NOT EXISTS ("
            " SELECT FROM annotation_ranking later WHERE later.supersedes_id = ranking.id)",
            [list(labelled)],
        )
        return _Standing(keys, {(task_id, label): id for task_id, label, id in cursor.fetchall()})


def _import_key(item: Ranked) -> str:
    """SHA-256 of all that the ranking says. Ids stand for texts: a project has each content once."""
    ids = [str(id) for id in item.response_ids]
    ranking = item.ranking
    content: list[Any] = [
        ranking.external_id,
        str(item.task_id),
        [sorted(ids[index] for index in tier) for tier in ranking.tiers],
        ranking.annotator,
        ranking.strength,
        {ids[index]: value for index, value in ranking.ratings.items()},
        {ids[index]: value for index, value in ranking.flags.items()},
        ranking.not_rankable,
        ranking.comment,
        ranking.rewrite,
    ]
    # What rankings learnt to say later is left out where it says nothing, so older keys stay what they were.
    for name, value in (
        ("choices", ranking.choices),
        ("confidence", ranking.confidence),
        ("all_bad", ranking.all_bad),
    ):
        if value or (value == 0 and value is not False):
            content.append([name, value])
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _tier_ids(item: Ranked) -> list[list[UUID]]:
    """Tiers of response ids; within a tie in shown order, which here is the order of the file."""
    return [[item.response_ids[index] for index in sorted(tier)] for tier in item.ranking.tiers]


def _insert(project: Project, drafts: Sequence[_Draft]) -> None:
    def by_id(draft: _Draft, values: Mapping[int, Any]) -> dict[str, Any]:
        return {str(draft.ranked.response_ids[index]): value for index, value in values.items()}

    rankings = [draft.ranked.ranking for draft in drafts]
    insert_rows(
        "annotation_ranking",
        constants={
            "project_id": project.pk,
            "source": Ranking.Source.IMPORT,
            "kind": Ranking.Kind.ANNOTATION,
            "touched": True,
            "created_at": NOW,
        },
        columns={
            "id": ("uuid", [draft.id for draft in drafts]),
            "task_id": ("uuid", [draft.ranked.task_id for draft in drafts]),
            "annotator_label": ("text", [ranking.annotator for ranking in rankings]),
            "shown_order": ("uuid[]", [draft.ranked.response_ids for draft in drafts]),
            "tiers": ("jsonb", [_tier_ids(draft.ranked) for draft in drafts]),
            "strength": ("smallint", [ranking.strength for ranking in rankings]),
            "ratings": ("jsonb", [by_id(draft, draft.ranked.ranking.ratings) for draft in drafts]),
            "flags": ("jsonb", [by_id(draft, draft.ranked.ranking.flags) for draft in drafts]),
            "choices": ("jsonb", [ranking.choices for ranking in rankings]),
            "confidence": ("smallint", [ranking.confidence for ranking in rankings]),
            "not_rankable": ("boolean", [ranking.not_rankable for ranking in rankings]),
            "all_bad": ("boolean", [ranking.all_bad for ranking in rankings]),
            "comment": ("text", [ranking.comment for ranking in rankings]),
            "rewrite": ("text", [ranking.rewrite for ranking in rankings]),
            "duration_ms": ("bigint", [ranking.duration_ms for ranking in rankings]),
            "metadata": ("jsonb", [ranking.metadata for ranking in rankings]),
            "given_at": ("timestamptz", [ranking.given_at for ranking in rankings]),
            "supersedes_id": ("uuid", [draft.supersedes for draft in drafts]),
            "import_key": ("text", [draft.import_key for draft in drafts]),
        },
        skip_existing=False,
        returning=False,
    )
