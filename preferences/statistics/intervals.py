"""Confidence intervals for shares of clustered observations, and bootstrap intervals. Pure NumPy.

Observations of one task are dependent. The K(K−1)/2 pairs of a ranking come from one decision, and all
rankings of a task compare the same responses. Intervals that treat pairs as independent would be too narrow
by a factor of about √(K/2) to √K. The functions for clustered data therefore treat a cluster (usually a task)
as the unit.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
SAMPLES = 1000
# For resampling, clusters are divided into at most this many groups; see `resampled_totals`.
MAX_GROUPS = 1000
MIN_GROUPS = 200
MAX_GROUP_CELLS = 4_000_000


class Interval(NamedTuple):
    """An estimate with its interval. All three values are NaN if there is no data."""

    value: float
    low: float
    high: float


class Shares(NamedTuple):
    """Shares with intervals, one per group, and the number of trials in each group. All arrays have shape
    (G,)."""

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]


def wilson(
    share: ArrayLike, n: ArrayLike, *, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The score interval for a binomial share. Source: Wilson, "Probable inference" (JASA 22, 1927).

    Unlike p ± 2 se, the score interval stays inside [0, 1]. If the share is 0 or 1, the interval does not
    shrink to a point. `share` and `n` can have any shapes that broadcast together. `n` can be an effective
    number of trials and need not be an integer. The interval is NaN where `n` is 0.
    """
    p, size = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z = NormalDist().inv_cdf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = (p + z * z / (2 * size)) / (1 + z * z / size)
        half = z / (1 + z * z / size) * np.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
        # The interval must contain the share. If the share is 0 or 1, rounding could move an end of the
        # interval past the share.
        low, high = np.clip(centre - half, 0.0, p), np.clip(centre + half, p, 1.0)
    nothing = size <= 0
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def clustered_shares(
    successes: ArrayLike, trials: ArrayLike, groups: ArrayLike, n_groups: int, *, level: float = LEVEL
) -> Shares:
    """The share of successes in each group, with a Wilson interval based on the effective number of trials.

    `successes`, `trials` and `groups` have shape (C,), with one entry per cluster. Groups are numbered
    0…n_groups−1. The variance of the share is computed as for a ratio of cluster totals (Cochran, "Sampling
    Techniques", 1977, §6.3). The effective number of trials is p(1−p) divided by the share's variance. This
    effective number is at least the number of clusters and at most the number of trials (Korn & Graubard
    1998). If each cluster has one trial, the result is the plain Wilson interval. The result for a group
    without trials is NaN.
    """
    won, tried = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    group = np.asarray(groups, dtype=np.int64)
    if won.ndim != 1 or not won.shape == tried.shape == group.shape:
        raise ValueError("`successes`, `trials` and `groups` must each have shape (C,).")
    if len(won) and ((won < 0).any() or (won > tried).any() or group.min() < 0 or group.max() >= n_groups):
        raise ValueError(
            "`successes` must be from 0 to `trials`, and `groups` must be from 0 to `n_groups` − 1."
        )
    total = np.bincount(group, weights=tried, minlength=n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.bincount(group, weights=won, minlength=n_groups) / total
        deviation = won - np.where(tried > 0, share[group], 0.0) * tried
        scatter = np.bincount(group, weights=deviation**2, minlength=n_groups)
        clusters = np.bincount(group, weights=tried > 0, minlength=n_groups)
        # The effective number of trials is p(1−p)/var, without the correction C/(C−1). If each cluster
        # has one trial, the effective number without this correction is exactly the number of trials.
        effective = np.where(scatter > 0, share * (1 - share) * total**2 / scatter, clusters)
        effective = np.clip(effective, np.minimum(clusters, total), total)
    low, high = wilson(share, effective, level=level)
    return Shares(share, low, high, total.astype(np.int64))


def clustered_share(successes: ArrayLike, trials: ArrayLike, *, level: float = LEVEL) -> tuple[Interval, int]:
    """The result of :func:`clustered_shares` for a single group: (interval, number of trials)."""
    groups = np.zeros(len(np.asarray(trials)), dtype=np.int64)
    found = clustered_shares(successes, trials, groups, 1, level=level)
    return Interval(float(found.share[0]), float(found.low[0]), float(found.high[0])), int(found.n[0])


def resampled_totals(
    features: NDArray[np.float64], clusters: NDArray[np.int64], *, samples: int, seed: int
) -> NDArray[np.float64]:
    """Draw `samples` bootstrap samples of whole clusters and return the column totals of each sample (Efron
    1979; Davison & Hinkley §3.8).

    `features` has shape (N, F). `clusters` contains integers and has shape (N,). The result has shape
    (samples, F). If there are more than MAX_GROUPS clusters (fewer if F is large), they are divided at random
    into groups of nearly equal size, and the groups are resampled. The cost of a sample is then independent
    of the size of the data. Clusters are independent, so the sums over groups are independent too, and the
    variance of the totals is estimated without bias. The relative error of the totals' standard deviation is
    1/√(2·groups), which is about 2 % for 1,000 groups. The same seed produces the same samples.
    """
    rng = np.random.default_rng(seed)
    _, cluster = np.unique(clusters, return_inverse=True)
    n, width = int(cluster.max(initial=-1)) + 1, features.shape[1]
    groups = min(n, max(MIN_GROUPS, min(MAX_GROUPS, MAX_GROUP_CELLS // max(1, width))))
    if groups == 0:
        return np.zeros((samples, width))
    group = (rng.permutation(n) % groups)[cluster] if groups < n else cluster
    totals = sum_by(group, features, groups)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=samples)
    found: NDArray[np.float64] = drawn.astype(np.float64) @ totals
    return found


def sum_by(group: NDArray[np.int64], rows: NDArray[np.float64], n_groups: int) -> NDArray[np.float64]:
    """The sums of `rows` by group. The shapes are (N, F) for `rows`, (N,) for `group`, and (n_groups, F) for
    the result."""
    if len(rows) == 0:
        return np.zeros((n_groups, rows.shape[1]))
    order = np.argsort(group, kind="stable")
    sorted_group = group[order]
    starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    sums = np.zeros((n_groups, rows.shape[1]))
    sums[sorted_group[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return sums


def percentiles(
    samples: NDArray[np.float64], *, level: float = LEVEL
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The percentile interval over the first axis. Samples in which the statistic is undefined are
    ignored."""
    ends = [(1 - level) / 2, (1 + level) / 2]
    missing = np.isnan(samples)
    found = np.full((2, *samples.shape[1:]), np.nan)
    if samples.shape[0] and not missing.any():
        found[...] = np.quantile(samples, ends, axis=0)
    elif samples.shape[0]:
        known = ~missing.all(0)
        found[:, known] = np.nanquantile(samples[:, known], ends, axis=0)
    return found[0], found[1]


def lower_tail(z: ArrayLike) -> NDArray[np.float64]:
    """P(Z ≤ z) for a standard normal variable Z; NaN stays NaN."""
    values = np.asarray(z, dtype=np.float64)
    tails = [0.5 * math.erfc(-value / math.sqrt(2)) for value in values.ravel().tolist()]
    return np.array(tails, dtype=np.float64).reshape(values.shape)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values adjusted for multiple tests. Source: Holm, "A simple sequentially rejective multiple test
    procedure" (Scand. J. Stat. 6, 1979). If every hypothesis with an adjusted value of at most x is rejected,
    the probability of any false positive is at most x. This bound holds for any dependence between the tests.
    A NaN marks a hypothesis that was not tested, and is ignored."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted
