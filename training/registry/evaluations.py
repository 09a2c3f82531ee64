"""Each policy's newest evaluations, and whether the policy is better than its parent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from training.models import ModelVersion, TrainingRun
from training.models.querysets import ProjectOwnedQuerySet

Z_95 = 1.96
NEWEST = 500  # maximum number of evaluations read
# Two evaluations are comparable if these settings and the judging reward model, if any, are equal. The
# numbers of prompts and answers affect only the standard error.
TERMS = ("judge", "split", "temperature", "top_p", "max_new_tokens")


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation run: the judge's mean score, and its standard error over `prompts`
    prompts."""

    policy: str
    judge: str
    mean: float
    standard_error: float
    prompts: int
    run: TrainingRun
    terms: tuple[object, ...]

    @property
    def low(self) -> float:
        return self.mean - Z_95 * self.standard_error

    @property
    def high(self) -> float:
        return self.mean + Z_95 * self.standard_error


@dataclass(frozen=True)
class Gain:
    """A policy's mean score minus its parent's, with a 95 % confidence interval. The standard errors are
    combined as for independent samples. If both policies were evaluated on the same prompts, this interval is
    usually too wide, because prompts that are hard for one policy are often hard for the other, too."""

    parent: Evaluation
    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"


@dataclass(frozen=True)
class Judged:
    model: ModelVersion
    evaluation: Evaluation
    gain: Gain | None


def judged_policies(
    *, models: ProjectOwnedQuerySet[ModelVersion], runs: ProjectOwnedQuerySet[TrainingRun]
) -> list[Judged]:
    """Every evaluated policy among `models`, with its newest evaluation for each combination of judge and
    settings. Executes two queries."""
    done = runs.filter(kind=TrainingRun.Kind.EVALUATE, state=TrainingRun.State.SUCCEEDED)
    newest = _newest(done.order_by("-created_at")[:NEWEST])
    policies = models.filter(kind=ModelVersion.Kind.POLICY, name__in={name for name, _ in newest})
    found = []
    for model in policies.select_related("parent").order_by("-created_at"):
        for (name, terms), evaluation in newest.items():
            if name == model.name:
                found.append(Judged(model, evaluation, _gain(evaluation, model, terms, newest)))
    return found


def _newest(runs: Iterable[TrainingRun]) -> dict[tuple[str, tuple[object, ...]], Evaluation]:
    """Each policy's newest evaluation for each combination of the settings in TERMS and the judging reward
    model."""
    found: dict[tuple[str, tuple[object, ...]], Evaluation] = {}
    for run in runs:
        evaluation = _evaluation(run)
        if evaluation is not None:
            found.setdefault((evaluation.policy, evaluation.terms), evaluation)
    return found


def _evaluation(run: TrainingRun) -> Evaluation | None:
    """The run's evaluation. None if the run evaluated a base model instead of one of the project's models, or
    if the mean score has no standard error."""
    policy, judge = run.inputs.get("policy"), str(run.recipe.get("judge", ""))
    metrics = run.result.get("metrics", {})
    mean, error = metrics.get(f"{judge}/mean"), metrics.get(f"{judge}/standard_error")
    if not policy or run.recipe.get("base_model") or mean is None or error is None:
        return None
    by = run.inputs.get("reward_model", "") if judge == "reward_model" else ""
    terms = (*(run.recipe.get(name) for name in TERMS), by)
    prompts = int(run.result.get("counts", {}).get("prompts", 0))
    return Evaluation(policy, by or judge, float(mean), float(error), prompts, run, terms)


def _gain(
    evaluation: Evaluation,
    model: ModelVersion,
    terms: tuple[object, ...],
    newest: Mapping[tuple[str, tuple[object, ...]], Evaluation],
) -> Gain | None:
    parent = newest.get((model.parent.name, terms)) if model.parent else None
    if parent is None:
        return None
    difference = evaluation.mean - parent.mean
    error = Z_95 * math.hypot(evaluation.standard_error, parent.standard_error)
    return Gain(parent, difference, difference - error, difference + error)
