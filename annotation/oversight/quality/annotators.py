"""The quality of each annotator: agreement, reliability, gold accuracy, biases and outlier tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotation.models import Project
from annotation.oversight.quality.biases import Biases, Counts, counts_of, of_people
from annotation.oversight.quality.estimates import (
    Estimate,
    nth,
    number_or_none,
    share_of,
)
from annotation.oversight.quality.shared_tasks import SharedTasks, joined
from annotation.oversight.ranking_arrays import (
    KNOWN,
    RankingArrays,
    gold_places,
)
from preferences.statistics.outliers import outliers
from preferences.statistics.pairs import gold_scores
from preferences.statistics.reliability import Reliability

# An imported file can name thousands of annotators; the page shows the most active annotators.
MAX_ANNOTATORS = 200
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


def annotators_of(
    project: Project,
    everything: RankingArrays,
    read: RankingArrays,
    shared: SharedTasks,
    reliability: Reliability,
    bias: Biases,
    same: NDArray[np.int64],
    pairs: NDArray[np.int64],
) -> list[AnnotatorQuality]:
    people = len(read.people)
    if people == 0:
        return []
    person = joined([block.person for block in everything.blocks])
    duration = joined([block.duration_ms for block in everything.blocks])
    rankings = np.bincount(person[person >= 0], minlength=people)
    medians = _medians(person, duration, people)
    n_pairs = np.bincount(shared.person, weights=pairs, minlength=people)
    n_same = np.bincount(shared.person, weights=same, minlength=people)
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = n_same / n_pairs
        score = np.where(pairs > 0, same / pairs, np.nan)
    odd = outliers(score, shared.task, shared.person, people)
    gold = of_people(_gold(project, everything), people)
    first, longer, as_shown, untouched = (
        of_people(counts, people) for counts in (bias.first_shown, bias.longer, bias.as_shown, bias.untouched)
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


def _gold(project: Project, everything: RankingArrays) -> Counts:
    """The score of each ranking of a task with a known answer. The same score is used to pause annotators."""
    read = everything.where(KNOWN, present=True)
    parts = []
    for block, gold in zip(read.blocks, gold_places(project=project, read=read), strict=True):
        score = gold_scores(gold, block.places)
        known = np.isfinite(score)
        parts.append((block, np.where(known, score, 0.0), known.astype(np.int64)))
    return counts_of(iter(parts))


def _medians(person: NDArray[np.int64], values: NDArray[np.int64], people: int) -> NDArray[np.float64]:
    known = (values >= 0) & (person >= 0)
    # Sorting one combined number is ten times as fast as sorting by two keys. Both keys fit into one number,
    # because a duration is at most a week.
    ordered = np.sort((person[known] << _DURATION_BITS) + np.minimum(values[known], _MOST_DURATION))
    n = np.bincount(ordered >> _DURATION_BITS, minlength=people)
    ordered &= _MOST_DURATION
    start = np.cumsum(n) - n
    found = np.full(people, np.nan)
    some = n > 0
    low, high = (start + (n - 1) // 2)[some], (start + n // 2)[some]
    found[some] = (ordered[low] + ordered[high]) / 2
    return found
