"""Reports on reward models, and comparisons of two reward models on rankings held out from the training of
both. No model is loaded, because each training run saved the model's scores with its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.datasets.pseudonyms import people_behind
from annotation.oversight.report_cache import cached_result, code_version
from config.problems import FieldProblem, Problem
from storage.digests import FileChanged
from training.models import ModelVersion
from training.rlhf import report
from training.rlhf.data.rankings import RankingFileError
from training.rlhf.models.files import adapters
from training.rlhf.report.reward_comparison import RewardComparison, compare
from training.rlhf.report.reward_report import JSON_NAME
from training.rlhf.report.scored import SCORED_NAME, ScoredRankings
from training.runs.model_files import REMEDY, verify_parts


def report_of(model: ModelVersion) -> dict[str, Any] | None:
    """The report that the training run wrote. None for policies, for models trained before reports existed,
    and for models whose held-out rankings contain no preference."""
    path = _verified(model, JSON_NAME)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class LearnedReliability:
    """The probability that an annotator states their true preference, learned together with the
    reward model (CrowdBT)."""

    name: str
    rankings: int
    reliability: dict[str, float]  # keys: value, low, high


def learned_of_annotators(model: ModelVersion) -> list[LearnedReliability]:
    """Annotators' reliabilities, lowest first; empty if the model was trained without learning
    reliabilities. An annotator without rankings in the project is identified by the pseudonym in the
    snapshot."""
    learned = _notes(model).get("annotators") or {}
    names = people_behind(model.project) if learned else {}
    found = [
        LearnedReliability(
            names.get(who, who),
            one["rankings"],
            {"value": one["reliability"], "low": one["low"], "high": one["high"]},
        )
        for who, one in learned.items()
    ]
    return sorted(found, key=lambda one: (one.reliability["value"], one.name))


def comparable_to(model: ModelVersion) -> list[ModelVersion]:
    """The project's other reward models with saved scores, newest first. Empty if this model's scores were
    not saved."""
    if not (model.folder / SCORED_NAME).is_file():
        return []
    others = ModelVersion.objects.filter(project=model.project_id, kind=ModelVersion.Kind.REWARD_MODEL)
    newest_first = others.exclude(pk=model.pk).order_by("-created_at")
    return [other for other in newest_first if (other.folder / SCORED_NAME).is_file()]


def compare_reward_models(*, model: ModelVersion, other: ModelVersion) -> RewardComparison:
    """Compare `model` with `other`. Raises Problem if either model's scores were not saved, or if the
    models' held-out sets have no rankings in common."""

    def compared() -> RewardComparison:
        try:
            return compare(*(_scores(one) for one in (model, other)))
        except ValueError as error:
            raise _not_comparable(f"The models can't be compared on held-out rankings: {error}.") from None

    found: RewardComparison = cached_result(
        identity=("comparison", model.pk, other.pk),
        version=lambda: (code_version(report), *(_saved_at(one) for one in (model, other))),
        compute=compared,
    )
    return found


def _saved_at(model: ModelVersion) -> int | None:
    path = model.folder / SCORED_NAME
    return path.stat().st_mtime_ns if path.is_file() else None


def _notes(model: ModelVersion) -> dict[str, Any]:
    """The settings saved with the weights; empty for models trained elsewhere."""
    for name in (adapters.CONFIG_FILE, adapters.ADAPTER_NOTES):
        path = _verified(model, name)
        if path.is_file():
            notes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("rankloop") or {}
            return notes
    return {}


def _scores(model: ModelVersion) -> ScoredRankings:
    path = _verified(model, SCORED_NAME)
    if not path.is_file():
        raise _not_comparable(f"The scores of {model.name} on its held-out rankings were not saved.")
    try:
        return ScoredRankings.load(path)
    except RankingFileError as error:
        raise _not_comparable(f"The scores of {model.name} can't be read: {error}") from None


def _verified(model: ModelVersion, name: str) -> Path:
    """The path of a file in the model's folder. Raises Problem if the file has changed since the model was
    stored."""
    try:
        verify_parts(model, [name])
    except FileChanged as changed:
        raise Problem(f"{changed} {REMEDY}", type="model-file-changed", status=500) from changed
    return model.folder / name


def _not_comparable(reason: str) -> Problem:
    return Problem(reason, type="not-comparable", errors=[FieldProblem("other", reason)])
