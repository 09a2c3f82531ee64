"""Biases: the influence of position and length on rankings, and straight-lining. Pure NumPy.

Rankings are (R, K) arrays of places (see `pairs`). Arrays of lengths and positions have the same columns.
Wins are counted separately for each ranking. Confidence intervals can then treat the pairs of a ranking as
one observation (`intervals.clustered_shares`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.pairs import NO_VERDICT, pair_columns, verdicts_of


class Wins(NamedTuple):
    """Counts of strict pairs for each ranking. `won` counts the pairs in which the larger response is
    preferred or, for position bias, the pairs in which the response shown first is preferred. `n` counts all
    strict pairs except pairs of responses of equal size. Both arrays have shape (R,)."""

    won: NDArray[np.int64]
    n: NDArray[np.int64]


def wins_of_the_larger(places: NDArray[np.int8], sizes: NDArray[np.int64]) -> Wins:
    """Count the strict pairs in which the larger response is preferred. With text lengths as `sizes`, the
    count measures length bias.

    `sizes` has shape (R, K). Pairs of responses of equal size are left out. If the larger response wins half
    of the pairs, there is no sign of bias. A larger share does not prove a bias, because longer responses can
    also be better.
    """
    verdicts = verdicts_of(places)
    first, second = pair_columns(places.shape[1])
    larger = np.sign(np.asarray(sizes, dtype=np.int64)[:, first] - np.asarray(sizes)[:, second])
    counted = (verdicts != 0) & (verdicts != NO_VERDICT) & (larger != 0)
    return Wins((counted & (verdicts == larger)).sum(1), counted.sum(1))


def wins_of_the_first_shown(places: NDArray[np.int8], shown: NDArray[np.int8]) -> Wins:
    """Measure position bias. Count the strict pairs in which the response shown first (further left or higher
    up) is preferred.

    `shown` contains each response's position, counted from 0, and has shape (R, K). Responses are shuffled
    for each annotator. Without a bias, the expected share is therefore exactly one half, regardless of the
    responses' quality.
    """
    return wins_of_the_larger(places, -shown.astype(np.int64))


class PassedOn(NamedTuple):
    """A comparison of each ranking with the order shown. `as_shown` is true if the ranking equals the order
    shown and has no ties. `by_chance` is the probability that a random order without ties equals the order
    shown (1/K!). For rankings with ties, `as_shown` is false and `by_chance` is 0. Both arrays have shape
    (R,)."""

    as_shown: NDArray[np.bool_]
    by_chance: NDArray[np.float64]


def passed_on(places: NDArray[np.int8], shown: NDArray[np.int8]) -> PassedOn:
    """Detect straight-lining: rankings submitted in exactly the order shown."""
    k = places.shape[1]
    verdicts = verdicts_of(places)
    strict = ((verdicts == 1) | (verdicts == -1)).all(1)
    chance = 1.0 / float(np.prod(np.arange(1, k + 1)))
    return PassedOn(strict & (places == shown).all(1), np.where(strict, chance, 0.0))
