"""Counts a snapshot's contents while its rows are written, and builds the card from the counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from annotation.datasets.selection import Selection
from annotation.models import Project
from preferences.pairs import comparisons_of

HH_ROLES = frozenset({"user", "assistant"})


@dataclass
class Tally:
    rankings: int = 0
    comparisons: int = 0
    ties: int = 0
    not_rankable: int = 0
    all_bad: int = 0
    without_order: int = 0
    with_strength: int = 0
    with_unranked: int = 0
    with_other_roles: int = 0
    reviews: int = 0
    rewrites: int = 0
    prompts: set[int] = field(default_factory=set)  # hashed IDs take half the memory of the ID strings
    annotators: set[str] = field(default_factory=set)
    splits: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    rounds: Counter[int] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    sizes: Counter[int] = field(default_factory=Counter)
    forms: Counter[int] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)
    ratings: dict[str, dict[str, float]] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self._count(row)
            yield row

    def _count(self, row: Mapping[str, Any]) -> None:
        pairs = comparisons_of(row["tiers"], None, row["unranked"])
        self.rankings += 1
        self.comparisons += len(pairs)
        self.ties += sum(pair.is_tie for pair in pairs)
        self.not_rankable += row["not_rankable"]
        self.all_bad += row["all_bad"]
        self.without_order += not (row["tiers"] or row["not_rankable"] or row["all_bad"])
        self.with_strength += row["strength"] is not None
        self.with_unranked += bool(row["unranked"])
        self.with_other_roles += any(message["role"] not in HH_ROLES for message in row["messages"])
        self.reviews += row["kind"] == "review"
        self.rewrites += row["rewrite"] is not None
        self.prompts.add(hash(row["prompt_id"]))
        self.annotators.add(row["annotator"])
        self.splits[row["split"]] += 1
        self.sources[row["source"]] += 1
        self.rounds[row["round"]] += 1
        self.sizes[len(row["responses"])] += 1
        self.models.update(response["model"] for response in row["responses"])
        if row["form_version"] is not None:
            self.forms[row["form_version"]] += 1
        if row["decided_by"]:
            self.decided_by[row["decided_by"]] += 1
        if row["flags"] != "{}":
            self.flags.update(_flags(json.loads(row["flags"])))
        if row["ratings"] != "{}":
            self._count_ratings(json.loads(row["ratings"]))
        given = row["given_at"] or row["created_at"]
        self.first = given if self.first is None else min(self.first, given)
        self.last = given if self.last is None else max(self.last, given)

    def _count_ratings(self, ratings: Mapping[str, Any]) -> None:
        for scales in ratings.values():
            for scale, value in scales.items() if isinstance(scales, dict) else ():
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    continue
                seen = self.ratings.setdefault(scale, {"count": 0, "lowest": value, "highest": value})
                seen["count"] += 1
                seen["lowest"] = min(seen["lowest"], value)
                seen["highest"] = max(seen["highest"], value)


def _flags(flags: Mapping[str, Any]) -> Iterator[str]:
    for given in flags.values():
        if isinstance(given, list):
            yield from (flag for flag in given if isinstance(flag, str))


def card_of(
    project: Project,
    name: str,
    selection: Selection,
    tally: Tally,
    *,
    sha256: str,
    file: str,
    tasks: int,
    agreement: Mapping[str, Any],
    weights: Mapping[str, Any],
    license: str,
    notes: str,
    excluded_annotators: int,
) -> dict[str, Any]:
    return {
        "name": name,
        "project": project.slug,
        "frozen_at": timezone.now().isoformat(),
        "file": file,
        "sha256": sha256,
        "license": license,
        "notes": notes,
        "selection": selection.to_json(),
        "rankings": tally.rankings,
        "tasks": tasks,
        "prompts": len(tally.prompts),
        "annotators": len(tally.annotators - {""}),
        "comparisons": tally.comparisons,
        "ties": tally.ties,
        "not_rankable": tally.not_rankable,
        "all_bad": tally.all_bad,
        "without_order": tally.without_order,
        "with_strength": tally.with_strength,
        "with_unranked": tally.with_unranked,
        "with_other_roles": tally.with_other_roles,
        "reviews": tally.reviews,
        "rewrites": tally.rewrites,
        "splits": _sorted(tally.splits),
        "sources": _sorted(tally.sources),
        "rounds": _sorted(tally.rounds),
        "responses_per_ranking": _sorted(tally.sizes),
        "responses_by_model": _sorted(tally.models),
        "flags": _sorted(tally.flags),
        "ratings": {scale: tally.ratings[scale] for scale in sorted(tally.ratings)},
        "decided_by": _sorted(tally.decided_by),
        "agreement": dict(agreement),
        "weights": dict(weights),
        "form": project.form,
        "lineage": {
            "project": project.slug,
            "first_ranking": tally.first and tally.first.isoformat(),
            "last_ranking": tally.last and tally.last.isoformat(),
            "form_versions": ", ".join(f"{number}: {n}" for number, n in sorted(tally.forms.items())),
            "excluded_annotators": excluded_annotators,
        },
    }


def _sorted(counter: Mapping[Any, int]) -> dict[str, int]:
    return {str(key): counter[key] for key in sorted(counter)}
