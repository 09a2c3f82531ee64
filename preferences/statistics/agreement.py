"""How often people say the same about a pair of responses. Pure NumPy.

The observed agreement P_o of Fleiss ("Measuring nominal scale agreement among many raters", 1971), weighted
by pairs of votes; nothing here is corrected for chance (see `krippendorff`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.pairs import NO_VERDICT


class RawAgreement(NamedTuple):
    """`agreement`: share of `n_pairs` (two people, one item) with the same verdict; NaN when there are none.

    `without_ties` and `n_without_ties`: the same over the pairs in which neither said "tie". `by_annotator`
    and `n_by_annotator`: for the pairs each annotator is one half of, ties included.
    """

    agreement: float
    n_pairs: int
    without_ties: float
    n_without_ties: int
    by_annotator: NDArray[np.float64]
    n_by_annotator: NDArray[np.int64]


def raw_agreement(
    items: ArrayLike, annotators: ArrayLike, verdicts: ArrayLike, *, tie: int = 0
) -> RawAgreement:
    """Agreement of votes in long form, a tie being a verdict of its own.

    items, annotators, verdicts: (N,) integers, one row per vote; annotators are 0…A−1, and nobody votes twice
    on an item. `tie` is the verdict that says "tie". Raises ValueError for unlike lengths or a second vote.
    """
    item, annotator, verdict = (np.asarray(part, dtype=np.int64) for part in (items, annotators, verdicts))
    if item.ndim != 1 or not item.shape == annotator.shape == verdict.shape:
        raise ValueError("items, annotators and verdicts must be (N,) each.")
    if len(np.unique(np.stack([item, annotator]), axis=1).T) < len(item):
        raise ValueError("Somebody voted twice on one item.")
    people = int(annotator.max(initial=-1)) + 1
    others, same = _others_and_same(item, verdict)
    strict = verdict != tie
    strict_others, strict_same = _others_and_same(item[strict], verdict[strict])
    n_by_annotator = np.bincount(annotator, weights=others, minlength=people).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_annotator = np.bincount(annotator, weights=same, minlength=people) / n_by_annotator
    return RawAgreement(
        _share(int(same.sum()), int(others.sum())),
        int(others.sum()) // 2,
        _share(int(strict_same.sum()), int(strict_others.sum())),
        int(strict_others.sum()) // 2,
        by_annotator,
        n_by_annotator,
    )


def _others_and_same(
    item: NDArray[np.int64], verdict: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each vote, how many others there are on its item, and how many of them say the same."""
    if len(item) == 0:
        return item, item
    _, item = np.unique(item, return_inverse=True)
    _, cell = np.unique(np.stack([item, verdict]), axis=1, return_inverse=True)
    cell = cell.reshape(-1)
    return np.bincount(item)[item] - 1, np.bincount(cell)[cell] - 1


class Meetings(NamedTuple):
    """What every two rankings of one task have in common; all (Q,), one entry per two rankings.

    `first`, `second`: indices of the rankings. `shared`: pairs of responses both say something about, and
    `same`, on how many of them the same. `strict` and `strict_same`: where neither says "tie". `tau_b`:
    Kendall's τ-b over the pairs, NaN where one of the two ties everything.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    shared: NDArray[np.int64]
    same: NDArray[np.int64]
    strict: NDArray[np.int64]
    strict_same: NDArray[np.int64]
    tau_b: NDArray[np.float64]


def meetings_of(verdicts: NDArray[np.int8], first: NDArray[np.int64], second: NDArray[np.int64]) -> Meetings:
    """verdicts: (R, P) of `pairs.verdicts_of`; first, second: (Q,) of `pairs.rankings_that_meet`."""
    one, two = verdicts[first], verdicts[second]
    said = (one != NO_VERDICT) & (two != NO_VERDICT)
    strict = said & (one != 0) & (two != 0)
    equal = one == two
    shared = said.sum(1)
    n_strict = strict.sum(1)
    strict_same = (strict & equal).sum(1)
    # τ-b = (concordant − discordant) / √(untied in one · untied in the other), Kendall (Biometrika 33, 1945).
    untied = (said & (one != 0)).sum(1) * (said & (two != 0)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau = (2 * strict_same - n_strict) / np.sqrt(untied)
    same = (said & equal).sum(1)
    return Meetings(first, second, shared, same, n_strict, strict_same, tau)


def join_meetings(parts: list[Meetings]) -> Meetings:
    """One after the other: rankings with unlike numbers of responses are met group by group."""
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Meetings(none, none, none, none, none, none, np.zeros(0))
    return Meetings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def by_ranking(met: Meetings, n_rankings: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each ranking (R,): pairs of votes with others in which they say the same, and pairs in all."""
    both = np.concatenate([met.first, met.second])
    same = np.bincount(both, weights=np.tile(met.same, 2), minlength=n_rankings)
    shared = np.bincount(both, weights=np.tile(met.shared, 2), minlength=n_rankings)
    return same.astype(np.int64), shared.astype(np.int64)


def between_annotators(
    met: Meetings, annotators: NDArray[np.int64], n_annotators: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every two annotators, (A, A) and symmetric: pairs of votes with the same verdict, and in all."""
    cells = annotators[met.first] * n_annotators + annotators[met.second]
    found = []
    for weights in (met.same, met.shared):
        one_way = np.bincount(cells, weights=weights, minlength=n_annotators**2)
        square = one_way.reshape(n_annotators, n_annotators).astype(np.int64)
        found.append(square + square.T)
    return found[0], found[1]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
