"""The rate at which annotators agree on a pair of responses. Pure NumPy.

The rate is Fleiss's observed agreement P_o, weighted by the number of vote pairs. Source: "Measuring nominal
scale agreement among many raters" (1971). The rate is not corrected for chance (see `krippendorff`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.pairs import NO_VERDICT


class Meetings(NamedTuple):
    """The agreement between any two rankings of the same task. All arrays have shape (Q,), with one entry per
    pair of rankings.

    `first` and `second` are the indices of the rankings. `shared` is the number of response pairs on which
    both rankings give a verdict. `same` is the number of response pairs on which the two verdicts agree.
    `strict` and `strict_same` correspond to `shared` and `same`, but exclude every response pair that either
    ranking ties. `tau_b` is Kendall's τ-b over the response pairs, or NaN if either ranking ties all
    responses.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared: NDArray[np.int64]
    same: NDArray[np.int64]
    strict: NDArray[np.int64]
    strict_same: NDArray[np.int64]
    tau_b: NDArray[np.float64]

    def where(self, kept: NDArray[np.bool_]) -> Meetings:
        first, second, shared, same, strict, strict_same, tau_b = self
        return Meetings(
            first[kept],
            second[kept],
            shared[kept],
            same[kept],
            strict[kept],
            strict_same[kept],
            tau_b[kept],
        )


def meetings_of(verdicts: NDArray[np.int8], first: NDArray[np.int64], second: NDArray[np.int64]) -> Meetings:
    """Compare pairs of rankings. `verdicts` is the result of `pairs.verdicts_of` and has shape (R, P).
    `first` and `second` are the results of `pairs.rankings_that_meet` and have shape (Q,)."""
    one, two = verdicts[first], verdicts[second]
    said = (one != NO_VERDICT) & (two != NO_VERDICT)
    strict = said & (one != 0) & (two != 0)
    equal = one == two
    shared = said.sum(1)
    n_strict = strict.sum(1)
    strict_same = (strict & equal).sum(1)
    # τ-b is (concordant − discordant) / √(untied in the first ranking · untied in the second ranking).
    # Source: Kendall (Biometrika 33, 1945).
    untied = (said & (one != 0)).sum(1) * (said & (two != 0)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = (2 * strict_same - n_strict) / np.sqrt(untied)
    same = (said & equal).sum(1)
    return Meetings(first, second, shared, same, n_strict, strict_same, tau)


def join_meetings(parts: list[Meetings]) -> Meetings:
    """Concatenate the results of `meetings_of` for tasks with different numbers of responses."""
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Meetings(none, none, none, none, none, none, np.zeros(0))
    return Meetings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def by_ranking(met: Meetings, n_rankings: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Compare each ranking with every other ranking of its task, and add up the counts. The first array
    counts the response pairs with equal verdicts. The second array counts the response pairs on which both
    rankings give a verdict. Both arrays have shape (R,)."""
    both = np.concatenate([met.first, met.second])
    same = np.bincount(both, weights=np.tile(met.same, 2), minlength=n_rankings)
    shared = np.bincount(both, weights=np.tile(met.shared, 2), minlength=n_rankings)
    return same.astype(np.int64), shared.astype(np.int64)


def between_annotators(
    met: Meetings, annotators: NDArray[np.int64], n_annotators: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Compare each pair of annotators, and add up the counts over their shared tasks. The first array counts
    the response pairs with equal verdicts. The second array counts the response pairs on which both
    annotators give a verdict. Both arrays are symmetric and have shape (A, A)."""
    cells = annotators[met.first] * n_annotators + annotators[met.second]
    found = []
    for weights in (met.same, met.shared):
        one_way = np.bincount(cells, weights=weights, minlength=n_annotators**2)
        square = one_way.reshape(n_annotators, n_annotators).astype(np.int64)
        found.append(square + square.T)
    return found[0], found[1]
