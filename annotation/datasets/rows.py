"""The rows of a snapshot, read from the database as they are written to the file: memory stays flat."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from django.db.models import TextField
from django.db.models.functions import Cast
from django.utils.crypto import salted_hmac

from annotation.models import Project, Response
from annotation.models.ranking import RankingQuerySet
from preferences.consensus import consensus
from preferences.formats.snapshot_parquet import JSON_COLUMNS
from preferences.pairs import unranked_of

CHUNK_ROWS = 500
PSEUDONYM_CHARACTERS = 12
PSEUDONYM = re.compile(rf"annotator-[0-9a-f]{{{PSEUDONYM_CHARACTERS}}}")
# Columns of the file that are columns of the ranking, as they are; and what else a row is made from.
COPIED_COLUMNS = (
    "strength",
    "source",
    "not_rankable",
    "comment",
    "rewrite",
    "touched",
    "duration_ms",
    "all_bad",
    "confidence",
    "kind",
    "given_at",
    "created_at",
)
READ_COLUMNS = (
    *COPIED_COLUMNS,
    "id",
    "task_id",
    "shown_order",
    "tiers",
    "annotator_id",
    "annotator_label",
    "form_version__number",
    "task__kind",
    "task__gold_tiers",
    "task__round",
    "task__prompt_id",
    "task__prompt__content_hash",
    "task__prompt__split",
    "task__prompt__messages",
)
TEXTS = {
    f"{name}_text": Cast(source, TextField())
    for name, source in {
        "ratings": "ratings",
        "flags": "flags",
        "choices": "choices",
        "prompt_metadata": "task__prompt__metadata",
        "task_metadata": "task__metadata",
        "ranking_metadata": "metadata",
    }.items()
}
Row = dict[str, Any]
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def pseudonym(project: Project, *, annotator_id: UUID | None, label: str) -> str:
    """A name for an annotator that is the same in every snapshot of the project and says nothing about them.

    Keyed with SECRET_KEY: imported labels are short, and a plain hash of them could be guessed back. A label
    that is such a name already came from another snapshot, and stays: so who said what survives the way.
    """
    if annotator_id is None and (not label or PSEUDONYM.fullmatch(label)):
        return label
    who = f"user:{annotator_id}" if annotator_id else f"label:{label}"
    digest = salted_hmac("rankloop.annotator", f"{project.pk}:{who}", algorithm="sha256").hexdigest()
    return f"annotator-{digest[:PSEUDONYM_CHARACTERS]}"


def people_behind(project: Project) -> dict[str, str]:
    """{pseudonym: username, or the label they were imported under} of all who ranked in the project."""
    answered = project.rankings.order_by().values_list(
        "annotator_id", "annotator__username", "annotator_label"
    )
    return {
        pseudonym(project, annotator_id=id, label=label): username or label
        for id, username, label in answered.distinct()
    }


def rows_of(
    project: Project, rankings: RankingQuerySet, *, weight_of: Callable[[Row], float] | None = None
) -> Iterator[Row]:
    """One row per ranking, sorted by its id, through a server-side cursor."""
    return _rows(project, rankings.order_by("id"), weight_of or (lambda row: 1.0))


def majority_rows_of(project: Project, rankings: RankingQuerySet) -> Iterator[Row]:
    """One row per task, sorted by task id: see preferences.consensus for what it says."""
    rows = _rows(project, rankings.order_by("task_id", "id"), lambda row: 1.0)
    for _, of_task in itertools.groupby(rows, key=lambda row: row["task_id"]):
        yield _decided(list(of_task))


def _rows(project: Project, rankings: RankingQuerySet, weight_of: Callable[[Row], float]) -> Iterator[Row]:
    # As plain values: model instances took a third of a freeze's time.
    # JSON that only passes through stays text: decoding and encoding it again took a third of the rest.
    found = rankings.values(*READ_COLUMNS, **TEXTS).iterator(chunk_size=CHUNK_ROWS)
    names: dict[tuple[UUID | None, str], str] = {}
    while chunk := list(itertools.islice(found, CHUNK_ROWS)):
        responses = _responses({id for row in chunk for id in row["shown_order"]})
        for row in chunk:
            place = {str(id): index for index, id in enumerate(row["shown_order"])}
            who = (row["annotator_id"], row["annotator_label"])
            if who not in names:
                names[who] = pseudonym(project, annotator_id=who[0], label=who[1])
            tiers = [sorted(place[id] for id in tier) for tier in row["tiers"]]
            gold = row["task__gold_tiers"]
            yield {
                **{name: row[name] for name in COPIED_COLUMNS},
                "ranking_id": str(row["id"]),
                "task_id": str(row["task_id"]),
                "prompt_id": str(row["task__prompt_id"]),
                "prompt_hash": row["task__prompt__content_hash"],
                "split": row["task__prompt__split"],
                "messages": row["task__prompt__messages"],
                "responses": [responses[id] for id in row["shown_order"]],
                "tiers": tiers,
                "annotator": names[who],
                "round": row["task__round"],
                **{name: row[f"{name}_text"] for name in JSON_COLUMNS},
                "weight": weight_of(row),
                "unranked": unranked_of(range(len(place)), tiers),
                "task_kind": row["task__kind"],
                "gold_tiers": gold and [sorted(place[id] for id in tier) for tier in gold],
                "form_version": row["form_version__number"],
                "votes": 1,
                "decided_by": "",
            }


def _responses(ids: set[UUID]) -> dict[UUID, dict[str, str]]:
    found = Response.objects.filter(pk__in=ids)
    return {
        id: {
            "id": str(id),
            "text": text,
            "model": model,
            "sampling": sampling,
            "metadata": metadata,
        }
        for id, text, model, sampling, metadata in found.values_list(
            "id", "text", "model_name", Cast("sampling", TextField()), Cast("metadata", TextField())
        )
    }


def _text(value: Mapping[str, Any]) -> str:
    return _canonical(value) if value else "{}"


def _decided(rows: list[Row]) -> Row:
    """The one row of a task: what its newest review says, or its only ranking, or what most say."""
    reviews = [row for row in rows if row["kind"] == "review"]
    if reviews:
        return {**reviews[-1], "votes": len(rows), "decided_by": "review"}
    if len(rows) == 1:
        return {**rows[0], "decided_by": "only"}
    rows = [_in_one_order(row) for row in rows]
    half = len(rows) / 2
    not_rankable = sum(row["not_rankable"] for row in rows) > half
    all_bad = not not_rankable and sum(row["all_bad"] for row in rows) > half
    said = [row["tiers"] for row in rows if row["tiers"]]
    found = consensus([] if not_rankable else said, len(rows[0]["responses"]))
    ranking_ids = ",".join(row["ranking_id"] for row in rows)
    return {
        **rows[0],
        "ranking_id": str(uuid5(NAMESPACE_OID, f"{rows[0]['task_id']}:{ranking_ids}")),
        "annotator": "",
        "source": _common(row["source"] for row in rows) or "",
        "form_version": _common(row["form_version"] for row in rows),
        "tiers": found.tiers,
        "unranked": found.unranked if found.tiers else [],
        "decided_by": found.decided_by,
        # Nobody could order them, or those who could are no majority: either way nothing was ordered.
        "not_rankable": not_rankable or not (found.tiers or all_bad),
        "all_bad": all_bad,
        "strength": _strength(rows, found.tiers),
        "ratings": _mean_ratings(rows),
        "flags": _majority_flags(rows),
        "choices": _majority_choices(rows),
        "confidence": None,
        "comment": "",
        "rewrite": None,
        "ranking_metadata": "{}",
        "touched": any(row["touched"] for row in rows),
        "duration_ms": None,
        "weight": 1.0,
        "votes": len(rows),
        "created_at": max(row["created_at"] for row in rows),
        "given_at": _latest(row["given_at"] for row in rows),
    }


def _in_one_order(row: Row) -> Row:
    """People saw the responses in unlike orders; sorted by id they can be laid side by side."""
    order = sorted(range(len(row["responses"])), key=lambda index: row["responses"][index]["id"])
    new = {old: place for place, old in enumerate(order)}
    return {
        **row,
        "responses": [row["responses"][index] for index in order],
        "tiers": [sorted(new[index] for index in tier) for tier in row["tiers"]],
        "unranked": sorted(new[index] for index in row["unranked"]),
        "gold_tiers": row["gold_tiers"]
        and [sorted(new[index] for index in tier) for tier in row["gold_tiers"]],
    }


def _strength(rows: Sequence[Row], tiers: Sequence[Sequence[int]]) -> int | None:
    """The median (the weaker one of two) of those who put the same responses first."""
    given = sorted(
        row["strength"]
        for row in rows
        if row["strength"] is not None and row["tiers"] and tiers and row["tiers"][0] == tiers[0]
    )
    return given[(len(given) - 1) // 2] if given else None


def _mean_ratings(rows: Sequence[Row]) -> str:
    given: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        for id, scales in json.loads(row["ratings"]).items():
            for scale, value in scales.items() if isinstance(scales, dict) else ():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    given.setdefault((id, scale), []).append(value)
    found: dict[str, dict[str, float]] = {}
    for (id, scale), values in given.items():
        found.setdefault(id, {})[scale] = sum(values) / len(values)
    return _text(found)


def _majority_flags(rows: Sequence[Row]) -> str:
    given = Counter(
        (id, flag)
        for row in rows
        for id, flags in json.loads(row["flags"]).items()
        for flag in (flags if isinstance(flags, list) else ())
        if isinstance(flag, str)
    )
    found: dict[str, list[str]] = {}
    for (id, flag), count in sorted(given.items()):
        if count > len(rows) / 2:
            found.setdefault(id, []).append(flag)
    return _text(found)


def _majority_choices(rows: Sequence[Row]) -> str:
    given = Counter(
        (question, _canonical(choice))
        for row in rows
        for question, choice in json.loads(row["choices"]).items()
    )
    return _text({name: json.loads(choice) for (name, choice), n in given.items() if n > len(rows) / 2})


def _common(values: Iterable[Any]) -> Any:
    """What all of them are, or None."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)
