"""The quality report: inter-annotator agreement, reliability and biases.

The report covers rankings that count (`Ranking.objects.counted()`). Reviewers' decisions are left out,
because reviewers see the other answers. Checks count only towards gold accuracy and towards the number and
the duration of an annotator's rankings. Checks would distort the other figures, because many annotators rank
each check and the correct answers were chosen to be clear. Qualification tasks don't count towards gold
accuracy. If the answer to a task is known, the task's rankings also count towards gold accuracy, even if the
task is not a check. Imported votes without a name are excluded from agreement, because their authors are
unknown. Imported rankings are excluded from position bias, because their display order is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from annotation.models import Project
from annotation.oversight.quality import ratings
from annotation.oversight.quality.annotators import AnnotatorQuality, annotators_of
from annotation.oversight.quality.biases import Biases, pooled
from annotation.oversight.quality.estimates import (
    Estimate,
    mean_over_tasks,
    ratio_over_tasks,
    share_of,
)
from annotation.oversight.quality.ratings import RatingAgreement
from annotation.oversight.quality.shared_tasks import SharedTasks
from annotation.oversight.ranking_arrays import (
    CHECK,
    date_of,
    days_of,
    read_rankings,
)
from preferences.statistics.agreement import (
    Meetings,
    between_annotators,
    by_ranking,
)
from preferences.statistics.iterative.convergence import Convergence

# The table has one cell per pair of annotators, so its size grows with the square of the number of
# annotators.
MAX_BETWEEN = 40


@dataclass(frozen=True)
class DayAgreement:
    date: date
    agreement: float
    n_pairs: int


@dataclass(frozen=True)
class Between:
    one: str
    other: str
    agreement: float
    n_pairs: int


@dataclass(frozen=True)
class Quality:
    pairwise_agreement: float | None
    n_pairs: int
    agreement: Estimate
    agreement_without_ties: float | None
    n_pairs_without_ties: int
    alpha_nominal: Estimate
    alpha_ordinal: Estimate
    n_shared_tasks: int
    tau_b: Estimate
    kendall_w: Estimate
    ratings: list[RatingAgreement]
    first_shown_wins: Estimate
    longer_wins: Estimate
    annotators: list[AnnotatorQuality]
    reliability_convergence: Convergence | None
    per_day: list[DayAgreement]
    between: list[Between]


def quality(*, project: Project) -> Quality:
    """Computes the whole report from one read of the rankings, in under 2 s for 100,000 rankings
    (benchmarks/quality.py)."""
    everything = read_rankings(project=project)
    read = everything.where(CHECK, present=False)
    shared = SharedTasks.of(read)
    bias = Biases.of(read)
    met = shared.met
    same, pairs = by_ranking(met, len(shared.task))
    reliability = shared.reliability(len(read.people))
    agreement = ratio_over_tasks(met.same, met.shared, shared.task[met.first])
    return Quality(
        pairwise_agreement=agreement.value,
        n_pairs=int(met.shared.sum()),
        agreement=agreement,
        agreement_without_ties=share_of(met.strict_same.sum(), met.strict.sum()),
        n_pairs_without_ties=int(met.strict.sum()),
        alpha_nominal=shared.alpha("nominal"),
        alpha_ordinal=shared.alpha("ordinal"),
        n_shared_tasks=len(np.unique(shared.task)),
        tau_b=mean_over_tasks(met.tau_b, shared.task[met.first]),
        kendall_w=mean_over_tasks(*shared.concordance()),
        ratings=ratings.rating_agreement(project=project),
        first_shown_wins=pooled(bias.first_shown),
        longer_wins=pooled(bias.longer),
        annotators=annotators_of(project, everything, read, shared, reliability, bias, same, pairs),
        reliability_convergence=reliability.convergence,
        per_day=_per_day(shared.given_at, same, pairs),
        between=_between(read.people, met, shared.person),
    )


def _per_day(
    given_at: NDArray[np.int64], same: NDArray[np.int64], pairs: NDArray[np.int64]
) -> list[DayAgreement]:
    """For each day (UTC), the agreement between the day's rankings and all rankings of the same tasks."""
    counted = pairs > 0
    days, number = np.unique(days_of(given_at[counted]), return_inverse=True)
    total = np.bincount(number, weights=pairs[counted], minlength=len(days))
    agreed = np.bincount(number, weights=same[counted], minlength=len(days))
    return [
        DayAgreement(date_of(int(day)), float(part / whole), int(whole))
        for day, part, whole in zip(days, agreed, total, strict=True)
    ]


def _between(people: list[str], met: Meetings, person: NDArray[np.int64]) -> list[Between]:
    """Pairwise agreement between the annotators who share the most response pairs with others."""
    pairs = sum(
        np.bincount(person[side], weights=met.shared, minlength=len(people))
        for side in (met.first, met.second)
    )
    busiest = (
        np.argsort(-np.asarray(pairs), kind="stable")[:MAX_BETWEEN] if people else np.zeros(0, dtype=int)
    )
    # With thousands of annotators, a table of all annotators would need gigabytes.
    place = np.full(len(people), -1)
    place[busiest] = np.arange(len(busiest))
    shown = (place[person[met.first]] >= 0) & (place[person[met.second]] >= 0)
    same, shared = between_annotators(met.where(shown), place[person], len(busiest))
    names = [people[n] for n in busiest]
    return [
        Between(
            names[one], names[other], float(same[one, other] / shared[one, other]), int(shared[one, other])
        )
        for one in range(len(names))
        for other in range(one + 1, len(names))
        if shared[one, other]
    ]
