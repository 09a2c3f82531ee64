"""Selection of the rankings that a snapshot contains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThanOrEqual, LessThan
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from annotation.models import Project, Ranking, TaskResponse
from annotation.models.ranking import RankingQuerySet
from annotation.models.task import is_check
from config.problems import FieldProblem, Problem
from preferences.text import storage_fault

LISTS = ("rounds", "sources", "annotators", "models", "kinds")
DATES = ("after", "before")
CHOICES = {
    "gold": ("excluded", "included", "only"),
    "aggregation": ("every", "majority", "weighted"),
}
CONDITIONS = (*LISTS, *DATES, "min_agreement", *CHOICES)
MAX_ROUND = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selects the valid rankings that meet every given condition.

    `annotators` are usernames or, for imported rankings, the names in the file. `models` selects tasks with a
    response by one of these models. `kinds` can contain `annotation` and `review`. `after` is inclusive and
    `before` is exclusive; both refer to the ranking's time. Tasks with a known answer (gold, attention,
    qualification) are excluded by default. `gold` either includes these tasks or selects only these tasks.
    `min_agreement` is the minimum share of agreeing pairs among a task's pairs of verdicts on the same two
    responses. `aggregation` decides what each row contains: a ranking, a task's majority, or a ranking with
    its annotator's weight.
    """

    rounds: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    gold: str = "excluded"
    aggregation: str = "every"
    min_agreement: float | None = None
    after: datetime | None = None
    before: datetime | None = None

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Selection:
        """Parses conditions from JSON. Raises a Problem that names every invalid condition."""
        values: dict[str, Any] = {}
        errors = []
        for name, value in given.items():
            try:
                values[name] = _condition(name, value)
            except ValueError as error:
                errors.append(FieldProblem(f"selection.{name}", str(error)))
        if errors:
            raise Problem("The selection is invalid.", errors=errors)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Returns only the conditions that are set; `{}` for an empty selection."""
        lists = {name: list(getattr(self, name)) for name in LISTS if getattr(self, name)}
        dates = {name: getattr(self, name).isoformat() for name in DATES if getattr(self, name)}
        share = {} if self.min_agreement is None else {"min_agreement": self.min_agreement}
        choices = {
            name: getattr(self, name) for name, (usual, *_) in CHOICES.items() if getattr(self, name) != usual
        }
        return {**lists, **dates, **share, **choices}

    def rankings_of(self, project: Project) -> RankingQuerySet:
        rankings = Ranking.objects.counted().filter(project=project)
        if self.rounds:
            rankings = rankings.filter(task__round__in=self.rounds)
        if self.sources:
            rankings = rankings.filter(source__in=self.sources)
        if self.annotators:
            rankings = rankings.filter(
                Q(annotator__username__in=self.annotators)
                | Q(annotator=None, annotator_label__in=self.annotators)
            )
        if self.models:
            by_them = TaskResponse.objects.filter(task=OuterRef("task"), response__model_name__in=self.models)
            rankings = rankings.filter(Exists(by_them))
        if self.kinds:
            rankings = rankings.filter(kind__in=self.kinds)
        if self.gold != "included":
            of_check = is_check("task")
            rankings = rankings.filter(~of_check if self.gold == "excluded" else of_check)
        given = Coalesce("given_at", "created_at")
        if self.after:
            rankings = rankings.filter(GreaterThanOrEqual(given, self.after))
        if self.before:
            rankings = rankings.filter(LessThan(given, self.before))
        return rankings


def _condition(name: str, value: Any) -> Any:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise ValueError(f"Use one of {', '.join(CHOICES[name])}.")
        return value
    if name == "min_agreement":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError("Use a number from 0 to 1.")
        return float(value)
    if name in DATES:
        moment = parse_datetime(value) if isinstance(value, str) else None
        if moment is None:
            raise ValueError("Use a date and time, such as 2026-01-31T12:00:00Z.")
        return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    if name not in LISTS:
        raise ValueError(f"Unknown condition. The conditions are {', '.join(CONDITIONS)}.")
    if not isinstance(value, list) or not value:
        raise ValueError("Use a list with at least one entry.")
    if name == "rounds":
        if not all(
            isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= MAX_ROUND for item in value
        ):
            raise ValueError("Rounds must be whole numbers, 0 or greater.")
        return tuple(sorted(set(value)))
    if not all(isinstance(item, str) and not storage_fault(item) for item in value):
        raise ValueError("All entries must be text.")
    known = {"sources": Ranking.Source.values, "kinds": Ranking.Kind.values}.get(name)
    if known and (unknown := sorted(set(value) - set(known))):
        raise ValueError(f"Unknown {name}: {', '.join(unknown)}. The {name} are {', '.join(known)}.")
    return tuple(sorted(set(value)))
