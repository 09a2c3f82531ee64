"""Estimates for small cases in textbook notation: matrices of ratings (raters × units) and lists
of ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from preferences.statistics.agreement import meetings_of
from preferences.statistics.krippendorff import Alpha, Metric, alpha
from preferences.statistics.pairs import verdicts_of
from preferences.statistics.rank_correlation import kendall_w_by_task


def alpha_of_matrix(ratings: ArrayLike, *, metric: Metric, samples: int = 0) -> Alpha:
    """Krippendorff's α of a reliability matrix with shape (raters, units). NaN marks missing values."""
    matrix = np.asarray(ratings, dtype=np.float64)
    given = ~np.isnan(matrix)
    units = np.broadcast_to(np.arange(matrix.shape[1]), matrix.shape)[given]
    return alpha(units, matrix[given], metric=metric, samples=samples)


def tau_b(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's τ-b of two rankings, given as (K,) arrays of places."""
    places = np.array([first, second], dtype=np.int8)
    return float(meetings_of(verdicts_of(places), np.array([0]), np.array([1])).tau_b[0])


def concordance(places: ArrayLike) -> float:
    """Kendall's W of m rankings of the same K items, given as an (m, K) array."""
    rankings = np.asarray(places)
    return float(kendall_w_by_task(rankings, np.zeros(len(rankings), dtype=np.int64), 1)[0])
