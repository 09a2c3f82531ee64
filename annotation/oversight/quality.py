"""Whether people agree, how reliable each of them is, and what besides quality sways them.

All over rankings that count (`Ranking.objects.counted()`), without reviewers' deciding ones, made in sight of
the others'. Checks are left out of everything but gold accuracy: many people rank them, and they were
chosen to be clear. A ranking task whose answer happens to be known counts as any other, and in gold accuracy
too. Imported votes without a name say nothing of agreement (nobody knows
whose they are), and nothing imported says anything of position bias: the order shown is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annotation.models import Project
from annotation.oversight import rating_agreement
from annotation.oversight.estimates import (
    SAMPLES,
    Estimate,
    mean_over_tasks,
    nth,
    number_or_none,
    ratio_over_tasks,
    share_of,
)
from annotation.oversight.ranking_arrays import (
    CHECK,
    IMPORTED,
    KNOWN,
    UNKNOWN,
    UNTOUCHED,
    Block,
    RankingArrays,
    date_of,
    days_of,
    gold_places,
    read_rankings,
)
from annotation.oversight.rating_agreement import RatingAgreement
from preferences.statistics.agreement import (
    Meetings,
    between_annotators,
    by_ranking,
    join_meetings,
    meetings_of,
)
from preferences.statistics.biases import passed_on, wins_of_the_first_shown, wins_of_the_larger
from preferences.statistics.dawid_skene import Reliability, pair_reliability
from preferences.statistics.intervals import Shares, clustered_share, clustered_shares
from preferences.statistics.krippendorff import Metric, alpha_of_pairs, pair_counts
from preferences.statistics.outliers import outliers
from preferences.statistics.pairs import NO_VERDICT, UNRANKED, gold_scores, rankings_that_meet, verdicts_of
from preferences.statistics.rank_correlation import kendall_w_by_task

# An imported file can name thousands of annotators; the page shows the busiest.
MAX_ANNOTATORS = 200
# Cells grow with the square.
MAX_BETWEEN = 40
_DURATION_BITS = 40
_MOST_DURATION = (1 << _DURATION_BITS) - 1


@dataclass(frozen=True)
class AnnotatorQuality:
    username: str
    rankings: int
    median_seconds: float | None
    agreement: float | None
    n_pairs: int
    reliability: Estimate
    gold_accuracy: Estimate
    n_gold: int
    first_shown_wins: Estimate
    longer_wins: Estimate
    as_shown: float | None
    as_shown_by_chance: float | None
    untouched: float | None
    outlier_p: float | None
    outlier_p_adjusted: float | None


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
    per_day: list[DayAgreement]
    between: list[Between]


def quality(*, project: Project) -> Quality:
    """Everything at once, from one reading: under 2 s for 100,000 rankings (benchmarks/quality.py)."""
    everything = read_rankings(project=project)
    read = everything.where(CHECK, present=False)
    shared = _Shared.of(read)
    bias = _Biases.of(read)
    met = shared.met
    same, pairs = by_ranking(met, len(shared.task))
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
        ratings=rating_agreement.rating_agreement(project=project),
        first_shown_wins=_pooled(bias.first_shown),
        longer_wins=_pooled(bias.longer),
        annotators=_annotators(project, everything, read, shared, bias, same, pairs),
        per_day=_per_day(shared.given_at, same, pairs),
        between=_between(read.people, met, shared.person),
    )


@dataclass(frozen=True)
class _Shared:
    """Rankings of named people on tasks that two or more of them ranked, of all K one after another."""

    blocks: list[Block]
    verdicts: list[NDArray[np.int8]]
    task: NDArray[np.int64]
    person: NDArray[np.int64]
    given_at: NDArray[np.int64]
    met: Meetings

    @classmethod
    def of(cls, read: RankingArrays) -> _Shared:
        blocks, verdicts, met, at = [], [], [], 0
        for block in read.blocks:
            named = block.where(block.person != UNKNOWN)
            kept = named.where(np.bincount(named.task, minlength=read.n_tasks)[named.task] > 1)
            if len(kept) == 0:
                continue
            said = verdicts_of(kept.places)
            here = meetings_of(said, *rankings_that_meet(kept.task))
            met.append(here._replace(first=here.first + at, second=here.second + at))
            at += len(kept)
            blocks.append(kept)
            verdicts.append(said)
        return cls(
            blocks=blocks,
            verdicts=verdicts,
            task=_joined([block.task for block in blocks]),
            person=_joined([block.person for block in blocks]),
            given_at=_joined([block.given_at for block in blocks]),
            met=join_meetings(met),
        )

    def alpha(self, metric: Metric) -> Estimate:
        counts, clusters = self._counts
        return Estimate.of_alpha(alpha_of_pairs(counts, clusters, metric=metric, samples=SAMPLES))

    @cached_property
    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """How many said what about each pair, (U, 3), and its task (U,)."""
        counts, clusters = [np.zeros((0, 3))], [np.zeros(0, dtype=np.int64)]
        for block, said in zip(self.blocks, self.verdicts, strict=True):
            tasks, number = np.unique(block.task, return_inverse=True)
            counts.append(pair_counts(said, number, len(tasks)))
            clusters.append(np.repeat(tasks, said.shape[1]))
        return np.concatenate(counts), np.concatenate(clusters)

    def concordance(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Kendall's W of each task, and the tasks. A ranking that orders nothing takes no part."""
        values, tasks = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        for block in self.blocks:
            ranked = block.where((block.places != UNRANKED).any(1))
            numbers, number = np.unique(ranked.task, return_inverse=True)
            values.append(kendall_w_by_task(ranked.places, number, len(numbers)))
            tasks.append(numbers)
        return np.concatenate(values), np.concatenate(tasks)

    def reliability(self, n_annotators: int) -> Reliability:
        parts: list[list[NDArray[np.int64]]] = [[], [], [], []]
        n_pairs = 0
        for block, said in zip(self.blocks, self.verdicts, strict=True):
            tasks, number = np.unique(block.task, return_inverse=True)
            strict = (said != 0) & (said != NO_VERDICT)
            row, column = np.nonzero(strict)
            pair = n_pairs + number[row] * said.shape[1] + column
            for part, values in zip(
                parts, (pair, block.person[row], said[strict], block.task[row]), strict=True
            ):
                part.append(values.astype(np.int64))
            n_pairs += len(tasks) * said.shape[1]
        pair, person, verdict, task = (_joined(part) for part in parts)
        return pair_reliability(
            pair, person, verdict, n_pairs=n_pairs, n_annotators=n_annotators, clusters=task
        )


class _Counts(NamedTuple):
    """Per ranking: whose it is, its task, and successes of trials."""

    person: NDArray[np.int64]
    won: NDArray[np.float64]
    n: NDArray[np.int64]


@dataclass(frozen=True)
class _Biases:
    first_shown: _Counts
    longer: _Counts
    as_shown: _Counts
    as_shown_by_chance: NDArray[np.float64]
    untouched: _Counts

    @classmethod
    def of(cls, read: RankingArrays) -> _Biases:
        shown = read.where(IMPORTED, present=False).blocks
        as_shown = [passed_on(block.places, block.shown) for block in shown]
        return cls(
            first_shown=_counts(
                (block, *wins_of_the_first_shown(block.places, block.shown)) for block in shown
            ),
            longer=_counts(
                (block, *wins_of_the_larger(block.places, read.characters[block.responses]))
                for block in read.blocks
            ),
            as_shown=_counts(
                (block, found.as_shown.astype(np.int64), (found.by_chance > 0).astype(np.int64))
                for block, found in zip(shown, as_shown, strict=True)
            ),
            as_shown_by_chance=np.concatenate([np.zeros(0), *(found.by_chance for found in as_shown)]),
            untouched=_counts(
                (block, block.has(UNTOUCHED).astype(np.int64), np.ones(len(block), dtype=np.int64))
                for block in shown
            ),
        )


def _counts(parts: Iterator[tuple[Block, NDArray[Any], NDArray[np.int64]]]) -> _Counts:
    rows = [(block.person, won, n) for block, won, n in parts]
    return _Counts(*(_joined([row[column] for row in rows]) for column in range(3)))


def _annotators(
    project: Project,
    everything: RankingArrays,
    read: RankingArrays,
    shared: _Shared,
    bias: _Biases,
    same: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> list[AnnotatorQuality]:
    people = len(read.people)
    if people == 0:
        return []
    person = _joined([block.person for block in everything.blocks])
    duration = _joined([block.duration_ms for block in everything.blocks])
    rankings = np.bincount(person[person >= 0], minlength=people)
    medians = _medians(person, duration, people)
    n_pairs = np.bincount(shared.person, weights=pairs, minlength=people)
    n_same = np.bincount(shared.person, weights=same, minlength=people)
    reliability = shared.reliability(people)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = n_same / n_pairs
        score = np.where(pairs > 0, same / pairs, np.nan)
    odd = outliers(score, shared.task, shared.person, people)
    gold = _of_people(_gold(project, everything), people)
    first, longer, as_shown, untouched = (
        _of_people(counts, people)
        for counts in (bias.first_shown, bias.longer, bias.as_shown, bias.untouched)
    )
    chance = np.bincount(
        bias.as_shown.person[bias.as_shown.person >= 0],
        weights=bias.as_shown_by_chance[bias.as_shown.person >= 0],
        minlength=people,
    )
    order = sorted(range(people), key=lambda n: (-rankings[n], read.people[n]))[:MAX_ANNOTATORS]
    return [
        AnnotatorQuality(
            username=read.people[n],
            rankings=int(rankings[n]),
            median_seconds=number_or_none(medians[n] / 1000),
            agreement=number_or_none(agreement[n]),
            n_pairs=int(n_pairs[n]),
            reliability=Estimate.of(reliability.accuracy[n], reliability.low[n], reliability.high[n]),
            gold_accuracy=nth(gold, n),
            n_gold=int(gold.n[n]),
            first_shown_wins=nth(first, n),
            longer_wins=nth(longer, n),
            as_shown=number_or_none(as_shown.share[n]),
            as_shown_by_chance=share_of(chance[n], as_shown.n[n]),
            untouched=number_or_none(untouched.share[n]),
            outlier_p=number_or_none(odd.p_value[n]),
            outlier_p_adjusted=number_or_none(odd.adjusted[n]),
        )
        for n in order
        if rankings[n]
    ]


def _gold(project: Project, everything: RankingArrays) -> _Counts:
    """The score of each ranking of a task whose answer is known: the one that pauses people, too."""
    read = everything.where(KNOWN, present=True)
    parts = []
    for block, gold in zip(read.blocks, gold_places(project=project, read=read), strict=True):
        score = gold_scores(gold, block.places)
        known = np.isfinite(score)
        parts.append((block, np.where(known, score, 0.0), known.astype(np.int64)))
    return _counts(iter(parts))


def _per_day(
    given_at: NDArray[np.int64], same: NDArray[np.int64], pairs: NDArray[np.int64]
) -> list[DayAgreement]:
    """Of each day's rankings (UTC), how often they say the same as others do, whenever those were given."""
    counted = pairs > 0
    days, number = np.unique(days_of(given_at[counted]), return_inverse=True)
    total = np.bincount(number, weights=pairs[counted], minlength=len(days))
    agreed = np.bincount(number, weights=same[counted], minlength=len(days))
    return [
        DayAgreement(date_of(int(day)), float(part / whole), int(whole))
        for day, part, whole in zip(days, agreed, total, strict=True)
    ]


def _between(people: list[str], met: Meetings, person: NDArray[np.int64]) -> list[Between]:
    """Every two of the annotators who share most with others."""
    same, shared = between_annotators(met, person, len(people))
    busiest = np.argsort(-shared.sum(1), kind="stable")[:MAX_BETWEEN].tolist()
    cells = [(one, other) for place, one in enumerate(busiest) for other in busiest[place + 1 :]]
    return [
        Between(
            people[one], people[other], float(same[one, other] / shared[one, other]), int(shared[one, other])
        )
        for one, other in cells
        if shared[one, other]
    ]


def _medians(person: NDArray[np.int64], values: NDArray[np.int64], people: int) -> NDArray[np.float64]:
    known = (values >= 0) & (person >= 0)
    # Sorted as one number each: ten times as fast as by two keys. A duration is at most a week.
    ordered = np.sort((person[known] << _DURATION_BITS) + np.minimum(values[known], _MOST_DURATION))
    n = np.bincount(ordered >> _DURATION_BITS, minlength=people)
    ordered &= _MOST_DURATION
    start = np.cumsum(n) - n
    found = np.full(people, np.nan)
    some = n > 0
    low, high = (start + (n - 1) // 2)[some], (start + n // 2)[some]
    found[some] = (ordered[low] + ordered[high]) / 2
    return found


def _of_people(counts: _Counts, people: int) -> Shares:
    named = counts.person >= 0
    return clustered_shares(counts.won[named], counts.n[named], counts.person[named], people)


def _pooled(counts: _Counts) -> Estimate:
    return Estimate.of(*clustered_share(counts.won, counts.n)[0])


def _joined(columns: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *columns])
