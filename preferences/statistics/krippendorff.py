"""Krippendorff's α: agreement beyond chance for any number of raters, with missing values. Pure NumPy.

α = 1 − D_o / D_e. D_o is the disagreement observed within units. D_e is the expected disagreement of two
values drawn at random, without replacement, from the pool of all values. Sources: Krippendorff, "Content
Analysis" (4th ed. 2019, ch. 12) and "Computing Krippendorff's Alpha-Reliability" (2011). α is 1 for perfect
agreement and 0 for chance agreement. If there is less agreement than expected by chance, α is negative.

The squared difference δ²(c, k) depends on the metric. It is [c ≠ k] for nominal values and (c − k)² for
interval values. For ordinal values, it is (Σ_{g=c}^{k} n_g − (n_c + n_k)/2)², the interval difference of the
values' mid-ranks in the pool.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.intervals import LEVEL, percentiles, resampled_totals, sum_by

Metric = Literal["nominal", "ordinal", "interval"]
# The maximum number of distinct values for which bootstrap samples of ordinal α are computed from
# coincidence tables. With more values, the samples are computed from the individual values.
MAX_TABLE_VALUES = 16
# The sum of values with a larger magnitude could overflow.
LARGE = 1e150


class Alpha(NamedTuple):
    """α with its bootstrap interval, and the numbers of units and values. Without bootstrap samples, the
    interval is NaN. α is undefined if no unit has two values, or if there is only one distinct value. Both α
    and the interval are then NaN."""

    alpha: float
    low: float
    high: float
    n_units: int
    n_values: int


def alpha(
    units: ArrayLike,
    values: ArrayLike,
    *,
    metric: Metric,
    clusters: ArrayLike | None = None,
    samples: int = 0,
    level: float = LEVEL,
    seed: int = 0,
) -> Alpha:
    """Krippendorff's α of values in long format, with one entry per value. The result does not depend on
    which rater gave a value.

    units: the unit of each value, an (N,) array of integers. Units with only one value are left out, as the
        definition of α requires.
    values: an (N,) array of numbers.
    samples: the number of bootstrap samples (0: no interval). Whole units are resampled, because the values
        of a unit are dependent. D_o and D_e are computed from sums over units.
    clusters: an (N,) array, constant within a unit. If `clusters` is given, whole clusters are resampled
        instead of units. Pass `clusters` if units are correlated, like the pairs of one task.
    Raises ValueError for unequal shapes, values that aren't finite, or an unknown metric.
    """
    unit, value = np.asarray(units, dtype=np.int64), np.asarray(values, dtype=np.float64)
    cluster = unit if clusters is None else np.asarray(clusters, dtype=np.int64)
    if unit.ndim != 1 or not unit.shape == value.shape == cluster.shape:
        raise ValueError("`units`, `values` and `clusters` must each have shape (N,).")
    if not np.isfinite(value).all():
        raise ValueError("Values must be finite; leave out missing values.")
    if metric not in ("nominal", "ordinal", "interval"):
        raise ValueError(f"{metric!r} is not a metric; known metrics: nominal, ordinal, interval.")
    _, unit = np.unique(unit, return_inverse=True)
    kept = np.bincount(unit)[unit] > 1 if len(unit) else np.zeros(0, dtype=bool)
    value, cluster = value[kept], cluster[kept]
    _, firsts, unit = np.unique(unit[kept], return_index=True, return_inverse=True)
    n_units = len(firsts)
    if len(value) == 0:
        return Alpha(np.nan, np.nan, np.nan, 0, 0)
    domain, code = np.unique(value, return_inverse=True)
    cluster_of_unit = cluster[firsts]
    if metric == "ordinal" and len(domain) > MAX_TABLE_VALUES:
        return _ordinal_by_value(unit, code, cluster_of_unit, samples=samples, level=level, seed=seed)
    features, of_totals = _features(unit, value, code, domain, metric)
    drawn = _NO_SAMPLES
    if samples:
        drawn = of_totals(resampled_totals(features, cluster_of_unit, samples=samples, seed=seed))
    low, high = percentiles(drawn, level=level)
    found = float(of_totals(features.sum(0)))
    if np.isnan(found):
        low = high = np.array(np.nan)
    return Alpha(found, float(low), float(high), n_units, len(value))


def alpha_of_pairs(
    counts: ArrayLike,
    clusters: ArrayLike,
    *,
    metric: Metric,
    samples: int = 0,
    level: float = LEVEL,
    seed: int = 0,
) -> Alpha:
    """α of verdicts on pairs of responses. A verdict is −1 if the second response is preferred, 0 for a tie,
    and 1 if the first response is preferred.

    `counts` has shape (U, 3) and contains, for each pair, how often the verdicts −1, 0 and 1 were given.
    `clusters` has shape (U,) and contains the task of each pair. Tasks are resampled as a whole, because all
    pairs of a task come from the same rankings.

    The order of the two responses in a pair is arbitrary, and α must not depend on it. Every pair is
    therefore counted in both directions, so that the pool of verdicts is symmetric. The reported numbers of
    units and values count each pair only once.
    """
    table = np.asarray(counts, dtype=np.float64)
    cluster = np.asarray(clusters, dtype=np.int64)
    if table.ndim != 2 or table.shape[1] != 3 or cluster.shape != table.shape[:1]:
        raise ValueError("`counts` must have shape (U, 3), and `clusters` must have shape (U,).")
    kept = table.sum(1) > 1
    table, cluster = table[kept], cluster[kept]
    if len(table) == 0:
        return Alpha(np.nan, np.nan, np.nan, 0, 0)
    worse, tied, better = table.T
    weight = 1 / (table.sum(1) - 1)
    # The nine cells of the coincidence table, summed over both directions, have these four distinct values.
    features = np.stack(
        [
            weight * (worse * (worse - 1) + better * (better - 1)),
            weight * 2 * worse * better,
            weight * tied * (worse + better),
            weight * 2 * tied * (tied - 1),
        ],
        axis=1,
    )
    of_coincidences = _of_coincidences(np.array([-1.0, 0.0, 1.0]), metric)

    def of_totals(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        return of_coincidences(totals[..., [0, 2, 1, 2, 3, 2, 1, 2, 0]])

    drawn = _NO_SAMPLES
    if samples:
        drawn = of_totals(resampled_totals(features, cluster, samples=samples, seed=seed))
    low, high = percentiles(drawn, level=level)
    found = float(of_totals(features.sum(0)))
    return Alpha(found, float(low), float(high), len(table), int(table.sum()))


_NO_SAMPLES: NDArray[np.float64] = np.zeros(0)
_OfTotals = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _coincidences(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the ordered pairs of values within each unit. The input has shape (U, V) and counts values; the
    result has shape (U, V, V). The pairs of one value with all other values of its unit have a total weight
    of 1."""
    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    found: NDArray[np.float64] = pairs / (counts.sum(1) - 1)[:, None, None]
    return found


def _of_coincidences(domain: NDArray[np.float64], metric: Metric) -> _OfTotals:
    size = len(domain)

    def of_totals(totals: NDArray[np.float64]) -> NDArray[np.float64]:
        table = totals.reshape(*totals.shape[:-1], size, size)
        pool = table.sum(-1)
        if metric == "nominal":
            delta = 1.0 - np.eye(size)
        else:
            score = domain if metric == "interval" else np.cumsum(pool, -1) - pool / 2
            delta = (score[..., :, None] - score[..., None, :]) ** 2
        observed = (table * delta).sum((-1, -2))
        expected = (pool[..., :, None] * pool[..., None, :] * delta).sum((-1, -2))
        return _ratio(observed, expected, pool.sum(-1))

    return of_totals


def _features(
    unit: NDArray[np.int64],
    value: NDArray[np.float64],
    code: NDArray[np.int64],
    domain: NDArray[np.float64],
    metric: Metric,
) -> tuple[NDArray[np.float64], _OfTotals]:
    """Return features and a function. The features have shape (U, F), with one row per unit. The function
    computes α from the sums of the features."""
    n_units, size = int(unit.max()) + 1, len(domain)
    if metric == "interval":
        x = _standardised(value)
        m, s, ss = (np.bincount(unit, weights=w, minlength=n_units) for w in (np.ones_like(x), x, x * x))
        within = (2 * m * ss - 2 * s * s) / (m - 1)
        return np.stack([within, m, s, ss], axis=1), _of_moments
    counts = np.bincount(unit * size + code, minlength=n_units * size).reshape(n_units, size).astype(float)
    if metric == "ordinal":
        return _coincidences(counts).reshape(n_units, -1), _of_coincidences(domain, metric)
    m = counts.sum(1)
    within = (m * m - (counts**2).sum(1)) / (m - 1)
    return np.concatenate([within[:, None], counts], axis=1), _of_counts


def _standardised(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale the values to the range from −1 to 1. This does not change α. Without the shift, sums
    of squares of large values would lose precision by cancellation. Without the scaling, these sums could
    overflow."""
    peak = np.abs(value).max()
    x = value / peak if peak > LARGE else value
    x = x - x.mean()
    spread = np.abs(x).max()
    return np.asarray(x / spread if spread > 0 else x, dtype=np.float64)


def _of_moments(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    within, n, s, ss = np.moveaxis(totals, -1, 0)
    return _ratio(within, 2 * n * ss - 2 * s * s, n)


def _of_counts(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    within, pool = totals[..., 0], totals[..., 1:]
    n = pool.sum(-1)
    return _ratio(within, n * n - (pool**2).sum(-1), n)


def _ratio(
    observed: NDArray[np.float64], expected: NDArray[np.float64], n: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute α = 1 − (observed/n) / (expected/(n(n−1))). If there is only one distinct value, α is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(expected > 1e-12 * n * n, 1 - (n - 1) * observed / expected, np.nan)
    return np.asarray(found)


def _ordinal_by_value(
    unit: NDArray[np.int64],
    code: NDArray[np.int64],
    cluster_of_unit: NDArray[np.int64],
    *,
    samples: int,
    level: float,
    seed: int,
) -> Alpha:
    """Ordinal α, for use when a table of all pairs of values would be too large. Each sample takes O(N)
    time."""
    size, n_units = int(code.max()) + 1, len(cluster_of_unit)
    m = np.bincount(unit, minlength=n_units).astype(np.float64)

    def weighed(weight: NDArray[np.float64]) -> float:
        pool = np.bincount(code, weights=weight[unit], minlength=size)
        rank = (np.cumsum(pool) - pool / 2)[code]
        s, ss = (np.bincount(unit, weights=w, minlength=n_units) for w in (rank, rank * rank))
        within = (2 * m * ss - 2 * s * s) / (m - 1)
        return float(_of_moments(np.stack([within, m, s, ss], axis=1).T @ weight))

    rng = np.random.default_rng(seed)
    _, cluster = np.unique(cluster_of_unit, return_inverse=True)
    n = int(cluster.max()) + 1
    chance = np.full(n, 1 / n)
    drawn = np.array([weighed(rng.multinomial(n, chance)[cluster].astype(float)) for _ in range(samples)])
    low, high = percentiles(drawn, level=level)
    return Alpha(weighed(np.ones(n_units)), float(low), float(high), n_units, len(code))


def pair_counts(verdicts: NDArray[np.int8], tasks: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Count the verdicts −1, 0 and 1 for each pair, task by task. `verdicts` has shape (R, P). `tasks`
    contains the task of each ranking and has shape (R,). The result has shape (n_tasks·P, 3)."""
    layers = np.concatenate([(verdicts == said) for said in (-1, 0, 1)], axis=1).astype(np.float64)
    sums = sum_by(tasks, layers, n_tasks)
    pairs = verdicts.shape[1]
    return sums.reshape(n_tasks, 3, pairs).transpose(0, 2, 1).reshape(-1, 3)
