"""A confidence sequence for a mean: a series of intervals, one for each number of observations.

If a fixed-sample interval is recomputed after every observation, it eventually excludes the true mean. With
the stated probability, all intervals of a confidence sequence contain the true mean, however many
observations are made. An experiment can therefore end as soon as one of the intervals excludes the value that
is being tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
GRID = 1001  # candidate means: the bounds are exact to 0.001
TRUNCATION = 0.5  # a bet never risks more than this share of the capital


@dataclass(frozen=True, slots=True)
class SequentialInterval:
    """The mean of the `n` observations so far, and the interval from `low` to `high`."""

    n: int
    mean: float
    low: float
    high: float


def confidence_sequence(values: Sequence[float], *, level: float = 0.95) -> SequentialInterval:
    """Return the interval for the mean of `values`, which are observations in [0, 1] in the order in which
    they were made.

    The method is the hedged capital process with predictable plug-in bets (Waudby-Smith & Ramdas,
    "Estimating means of bounded random variables by betting", 2023, equations 24 to 27). A candidate mean is
    excluded as soon as a bettor who bets against it has multiplied their capital by 1 / (1 − level).

    The observations can depend on one another, but the expected value of each observation, given the earlier
    observations, must be the same. Without observations, the interval is [0, 1] and the mean is ½. Raises
    ValueError if a value is outside [0, 1], or if the level is not between 0 and 1.
    """
    x = np.asarray(values, dtype=np.float64)
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, but is {level!r}")
    if len(x) and not (x.min() >= 0 and x.max() <= 1):
        raise ValueError("all observations must be between 0 and 1")
    if not len(x):
        return SequentialInterval(0, 0.5, 0.0, 1.0)
    alive = _survivors(x, 1 - level)
    return SequentialInterval(len(x), float(x.mean()), *alive)


def _survivors(x: Floats, alpha: float) -> tuple[float, float]:
    m = np.linspace(0, 1, GRID)
    bets = _bets(x, alpha)
    with np.errstate(divide="ignore"):
        up = np.minimum(bets[:, None], TRUNCATION / m)  # (n, GRID): bets that the mean is above m
        down = np.minimum(bets[:, None], TRUNCATION / (1 - m))
    gain = x[:, None] - m
    richest = np.maximum(
        np.cumsum(np.log1p(up * gain), axis=0).max(axis=0),
        np.cumsum(np.log1p(-down * gain), axis=0).max(axis=0),
    )
    # Half of the capital is bet on each side. Because the maximum over time is used, an excluded mean stays
    # excluded.
    alive = m[np.log(0.5) + richest < np.log(1 / alpha)]
    if not len(alive):  # every candidate is excluded: the mean has changed
        return float(x.mean()), float(x.mean())
    # The true bounds lie between the outermost surviving candidates and their excluded neighbours, so the
    # bounds are rounded outwards.
    step = 1 / (GRID - 1)
    return max(0.0, float(alive[0]) - step), min(1.0, float(alive[-1]) + step)


def _bets(x: Floats, alpha: float) -> Floats:
    """The bet on each observation, computed only from the earlier observations."""
    t = np.arange(1, len(x) + 1)
    mean = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    found: Floats = np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log1p(t)))
    return found
