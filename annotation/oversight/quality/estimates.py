"""Estimates with confidence intervals, for use in reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.intervals import Shares, percentiles, resampled_totals
from preferences.statistics.krippendorff import Alpha

# Number of bootstrap samples. A different seed moves the ends of an interval by only a few hundredths of the
# interval's width.
SAMPLES = 400


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% confidence interval; all fields are null without data."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float, low: float, high: float) -> Estimate:
        return cls(*(number_or_none(part) for part in (value, low, high)))

    @classmethod
    def of_alpha(cls, found: Alpha) -> Estimate:
        return cls.of(found.alpha, found.low, found.high)


def nth(shares: Shares, n: int) -> Estimate:
    return Estimate.of(shares.share[n], shares.low[n], shares.high[n])


def mean_over_tasks(values: NDArray[np.float64], tasks: NDArray[np.int64]) -> Estimate:
    known = ~np.isnan(values)
    return ratio_over_tasks(values[known], np.ones(int(known.sum())), tasks[known])


def ratio_over_tasks(part: NDArray[Any], whole: NDArray[Any], tasks: NDArray[np.int64]) -> Estimate:
    """Σ part / Σ whole, with a bootstrap interval over tasks."""
    if whole.sum() == 0:
        return Estimate(None, None, None)
    features = np.stack([part, whole], axis=1).astype(np.float64)
    drawn = resampled_totals(features, tasks, samples=SAMPLES, seed=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = percentiles(drawn[:, 0] / drawn[:, 1])
    return Estimate.of(float(part.sum() / whole.sum()), float(low), float(high))


def share_of(part: Any, whole: Any) -> float | None:
    return float(part / whole) if whole else None


def number_or_none(value: Any) -> float | None:
    """Returns the value as a float, or None instead of NaN, which JSON can't represent."""
    return None if math.isnan(value) else float(value)
