"""Estimates with confidence intervals from correlated pairs: the bootstrap over whole prompts. Pure NumPy.

Pairs are not independent: the pairs of a ranking come from one decision, and the rankings of a prompt concern
the same question. Intervals that assume independent pairs would be too narrow by a factor of about
√(K/2) or more. The bootstrap therefore draws whole prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.95
NORMAL_95 = 1.959964  # number of standard errors on either side of the mean that cover 95 %
SAMPLES = 1000
# If there are more than MAX_GROUPS prompts, they are divided at random into MAX_GROUPS groups. Groups are
# then drawn instead of prompts, so that memory use does not grow with the number of prompts. With groups, the
# estimated variance of the totals stays unbiased. The relative error of the standard error is about
# 1/√(2·groups) = 1.6 %.
MAX_GROUPS = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % confidence interval. For a single prompt, the interval is None. If there is no
    data for the estimate, both the figure and the interval are None."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def nothing(cls) -> Estimate:
        return cls(None, None, None)


class PromptBootstrap:
    """Draws whole prompts with replacement (Efron 1979; Davison & Hinkley 1997 §3.8).

    All figures use the same draws, so differences between figures are paired. The same seed gives the same
    draws. ``prompts``, with shape (N,), identifies the prompt of each ranking.
    """

    def __init__(self, prompts: Sequence[str], *, seed: int = 0, samples: int = SAMPLES) -> None:
        rng = np.random.default_rng(seed)
        names, prompt = np.unique(np.asarray(prompts, dtype=np.str_), return_inverse=True)
        self.prompt: Ints = prompt.astype(np.int64).reshape(-1)
        self.prompts = len(names)
        groups = min(self.prompts, MAX_GROUPS)
        self._group = rng.permutation(self.prompts) % groups if groups else np.zeros(0, dtype=np.int64)
        drawn = rng.multinomial(groups, np.full(groups, 1 / groups), size=samples) if groups else None
        # Row 0 is the data itself. A statistic computed for all rows therefore gives the estimate and its
        # bootstrap replicates.
        self._counts = (
            np.zeros((1 + samples, 0))
            if drawn is None
            else np.vstack([np.ones((1, groups)), drawn.astype(np.float64)])
        )

    def totals(self, columns: ArrayLike, ranking: Ints) -> Floats:
        """Return the column sums of the data and of each draw, with shape (1 + samples, F).

        ``columns`` has shape (P, F). ``ranking``, with shape (P,), contains the index of the ranking that
        each row comes from.
        """
        rows = np.asarray(columns, dtype=np.float64)
        groups = self._counts.shape[1]
        group = self._group[self.prompt[ranking]]
        sums = np.stack([np.bincount(group, weights=column, minlength=groups) for column in rows.T], axis=1)
        found: Floats = self._counts @ sums
        return found

    def totals_by(self, place: Ints, places: int, values: ArrayLike, ranking: Ints) -> Floats:
        """Return the sums of one column, separately for each place, with shape (1 + samples, places).

        ``values`` is the column, with shape (P,). ``place`` has shape (P,) and contains each row's place,
        such as a calibration bin. :meth:`totals` could also compute these sums, with one column per place.
        For a million rows and ten places, a call would then need 80 MB.
        """
        groups = self._counts.shape[1]
        cell = self._group[self.prompt[ranking]] * places + place
        sums = np.bincount(cell, weights=np.asarray(values, dtype=np.float64), minlength=groups * places)
        found: Floats = self._counts @ sums.reshape(groups, places)
        return found

    def ratio(self, above: ArrayLike, below: ArrayLike, ranking: Ints) -> Estimate:
        """Return Σ above / Σ below; both arguments have shape (P,)."""
        totals = self.totals(np.column_stack((above, below)), ranking)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.estimate(totals[:, 0] / totals[:, 1], ranking)

    def mean(self, values: ArrayLike, ranking: Ints) -> Estimate:
        rows = np.asarray(values, dtype=np.float64)
        return self.ratio(rows, np.ones(len(rows)), ranking)

    def share(self, hits: ArrayLike, ranking: Ints) -> Estimate:
        """Return the mean of values from 0 to 1, with its interval.

        If all values are equal, every bootstrap draw is the same, and the bootstrap interval is a single
        point, even for very few values. If all values are 0 or all are 1, the result is therefore Wilson's
        interval, with one observation per prompt.
        """
        found = self.mean(hits, ranking)
        if found.value not in (0.0, 1.0) or found.low is None:
            return found
        prompts, z2 = self.prompts_in(ranking), NORMAL_95**2
        reach = z2 / (prompts + z2)
        return Estimate(found.value, *((0.0, reach) if found.value == 0 else (1 - reach, 1.0)))

    def estimate(self, statistic: Floats, ranking: Ints) -> Estimate:
        """Return the estimate and its percentile interval. ``statistic`` contains the value for the data,
        followed by the value for each draw, with shape (1 + samples,).

        With a single prompt there is no interval, because one prompt gives no information about other
        prompts.
        """
        value = float(statistic[0])
        if not np.isfinite(value):
            return Estimate.nothing()
        draws = statistic[1:][np.isfinite(statistic[1:])]
        if self.prompts_in(ranking) < 2 or not len(draws):
            return Estimate(value, None, None)
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(value, float(low), float(high))

    def prompts_in(self, ranking: Ints) -> int:
        return len(np.unique(self.prompt[ranking]))

    def rank_correlation(self, x: Floats, y: Floats, ranking: Ints) -> Estimate:
        """Return Spearman's ρ between x and y, both with shape (P,). Tied values get their mean rank. Ranks
        are not recomputed for each draw."""
        if not len(x):
            return Estimate.nothing()
        a, b = mid_ranks(x), mid_ranks(y)
        a, b = a - a.mean(), b - b.mean()
        totals = self.totals(np.column_stack((np.ones(len(a)), a, b, a * a, b * b, a * b)), ranking)
        n, sa, sb, saa, sbb, sab = totals.T
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt((saa - sa * sa / n) * (sbb - sb * sb / n))
            found = np.where(spread > 1e-12 * len(a) ** 3, (sab - sa * sb / n) / spread, np.nan)
        return self.estimate(found, ranking)


def mid_ranks(values: Floats) -> Floats:
    """Return the ranks of the values, starting at 1, with shape (P,). Equal values get their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts).astype(np.float64)
    return np.asarray((last - (counts - 1) / 2)[place.reshape(-1)])
