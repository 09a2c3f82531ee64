"""The rows of a majority snapshot: one per task."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from annotation.datasets.rows import Row, rows_of
from annotation.models import Project
from annotation.models.ranking import RankingQuerySet
from preferences.consensus import consensus

_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def majority_rows_of(project: Project, rankings: RankingQuerySet) -> Iterator[Row]:
    """One row per task, sorted by task ID; see `preferences.consensus` for the definition of the majority."""
    rows = rows_of(project, rankings, order=("task_id", "id"))
    for _, of_task in itertools.groupby(rows, key=lambda row: row["task_id"]):
        yield _decided(list(of_task))


def _decided(rows: list[Row]) -> Row:
    """A task's row: the newest review, else the only ranking, else the majority. If a ranking of the task has
    an order, rankings without an order have no vote, but their ratings, flags and choices are included."""
    everyone = rows
    rows = [row for row in everyone if _has_order(row)] or everyone
    reviews = [row for row in rows if row["kind"] == "review"]
    if reviews:
        return {**reviews[-1], "votes": len(rows), "decided_by": "review"}
    beside = [row for row in everyone if not _has_order(row) and _describes(row)]
    if len(rows) == 1 and beside in ([], rows):
        return {**rows[0], "decided_by": "only"}
    described = [*(row for row in everyone if _has_order(row)), *beside]
    rows = [_in_one_order(row) for row in rows]
    half = len(rows) / 2
    not_rankable = sum(row["not_rankable"] for row in rows) > half
    all_bad = not not_rankable and sum(row["all_bad"] for row in rows) > half
    said = [row["tiers"] for row in rows if row["tiers"]]
    found = consensus([] if not_rankable else said, len(rows[0]["responses"]))
    ranking_ids = ",".join(sorted({row["ranking_id"] for row in [*rows, *beside]}))
    return {
        **rows[0],
        "ranking_id": str(uuid5(NAMESPACE_OID, f"{rows[0]['task_id']}:{ranking_ids}")),
        "annotator": "",
        "source": _common(row["source"] for row in rows) or "",
        "form_version": _common(row["form_version"] for row in rows),
        "tiers": found.tiers,
        "unranked": found.unranked if found.tiers else [],
        "decided_by": "only" if len(rows) == 1 else found.decided_by,
        # A row without tiers is marked as not rankable, unless it is marked as all bad or no ranking of the
        # task has an order.
        "not_rankable": not_rankable or (_has_order(rows[0]) and not (found.tiers or all_bad)),
        "all_bad": all_bad,
        "strength": _strength(rows, found.tiers),
        "ratings": _mean_ratings(everyone),
        "flags": _majority_flags(described),
        "choices": _majority_choices(described),
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


def _has_order(row: Row) -> bool:
    return bool(row["tiers"]) or row["not_rankable"] or row["all_bad"]


def _describes(row: Row) -> bool:
    """Whether a ranking has ratings, flags or choices."""
    return any(row[name] != "{}" for name in ("ratings", "flags", "choices"))


def _person(row: Row) -> str:
    """A key that identifies the annotator. Rankings without an annotator's name are treated as rankings by
    different annotators. Annotators are counted by this key instead of by row, because an annotator can have
    several rankings without an order in addition to a ranking with an order."""
    return str(row["annotator"] or row["ranking_id"])


def _people(rows: Sequence[Row], name: str) -> int:
    """The number of annotators who could have set the field. An annotator who ordered the responses has
    answered the whole form, even if the field is empty."""
    return len({_person(row) for row in rows if _has_order(row) or row[name] != "{}"})


def _in_one_order(row: Row) -> Row:
    """Sorts the responses by ID, because annotators saw them in different orders."""
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
    """The median strength among the rankings whose first tier is the majority's first tier. If there are two
    middle values, the weaker value is used."""
    given = sorted(
        row["strength"]
        for row in rows
        if row["strength"] is not None and row["tiers"] and tiers and row["tiers"][0] == tiers[0]
    )
    return given[(len(given) - 1) // 2] if given else None


def _mean_ratings(rows: Sequence[Row]) -> str:
    """The mean rating of each response on each scale, as JSON. Only the newest rating of each annotator
    counts."""
    given: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        for id, scales in json.loads(row["ratings"]).items():
            for scale, value in scales.items() if isinstance(scales, dict) else ():
                if (number := _number(value)) is not None:
                    given.setdefault((id, scale), {})[_person(row)] = number
    found: dict[str, dict[str, float]] = {}
    for (id, scale), values in given.items():
        found.setdefault(id, {})[scale] = _mean(list(values.values()))
    return _text(found)


def _mean(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    # The sum of very large numbers can be infinite, which JSON can't represent.
    return mean if math.isfinite(mean) else sum(value / len(values) for value in values)


def _number(value: Any) -> float | None:
    """The value as a float. None if it is not a finite number or is too large for a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _majority_flags(rows: Sequence[Row]) -> str:
    given = {
        (id, flag, _person(row))
        for row in rows
        for id, flags in json.loads(row["flags"]).items()
        for flag in (flags if isinstance(flags, list) else ())
        if isinstance(flag, str)
    }
    found: dict[str, list[str]] = {}
    for (id, flag), count in sorted(Counter((id, flag) for id, flag, _ in given).items()):
        if count > _people(rows, "flags") / 2:
            found.setdefault(id, []).append(flag)
    return _text(found)


def _majority_choices(rows: Sequence[Row]) -> str:
    """For each question, the choice that more than half of the annotators made, if there is one. Only the
    newest choice of each annotator counts."""
    given = {
        (question, _person(row)): _canonical(choice)
        for row in rows
        for question, choice in json.loads(row["choices"]).items()
    }
    counts = Counter((question, choice) for (question, _), choice in given.items())
    half = _people(rows, "choices") / 2
    return _text({name: json.loads(choice) for (name, choice), n in counts.items() if n > half})


def _common(values: Iterable[Any]) -> Any:
    """The common value if all values are equal, else None."""
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


def _text(value: Mapping[str, Any]) -> str:
    return _canonical(value) if value else "{}"
