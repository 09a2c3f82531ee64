"""Cohen's and Fleiss' κ: agreement beyond chance of two raters, and of a fixed number. Pure NumPy."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike


def cohen_kappa(
    first: ArrayLike, second: ArrayLike, *, weights: Literal["linear", "quadratic"] | None = None
) -> float:
    """κ of two raters over the same items, who each have their own habits (marginals).

    first, second: (N,) numbers. Cohen, "A coefficient of agreement for nominal scales" (1960); with weights,
    the weighted κ of Cohen (1968): 1 − Σ w·observed / Σ w·expected, w = |a − b| or (a − b)² of the values
    themselves, so that a value nobody used doesn't shrink the scale. Items that one of them didn't rate are
    to be left out before. NaN without items, or where both gave one and the same value throughout. Raises
    ValueError for unlike shapes or values that aren't finite.
    """
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("first and second must be (N,) each and finite.")
    if len(one) == 0:
        return float("nan")
    domain, code = np.unique(np.concatenate([one, two]), return_inverse=True)
    size = len(domain)
    table = np.bincount(code[: len(one)] * size + code[len(one) :], minlength=size * size)
    observed = table.reshape(size, size) / len(one)
    expected = observed.sum(1)[:, None] * observed.sum(0)[None, :]
    distance = np.abs(domain[:, None] - domain[None, :])
    weight = (distance > 0).astype(float) if weights is None else distance
    if weights == "quadratic":
        weight = distance**2
    by_chance = float((weight * expected).sum())
    return 1 - float((weight * observed).sum()) / by_chance if by_chance > 0 else float("nan")


def fleiss_kappa(counts: ArrayLike) -> float:
    """κ of N items rated by the same number n ≥ 2 of people each, not the same ones necessarily.

    counts: (N, V), how many gave each value. Fleiss, "Measuring nominal scale agreement among many raters"
    (1971). NaN without items or with one value throughout. Raises ValueError for unlike numbers of ratings:
    Krippendorff's α is for those.
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"counts must be (N, V); its shape is {table.shape}.")
    if len(table) == 0:
        return float("nan")
    n = table.sum(1)
    if n[0] < 2 or (n != n[0]).any():
        raise ValueError("Every item must have the same number of ratings, two or more; use alpha otherwise.")
    observed = (((table**2).sum(1) - n) / (n * (n - 1))).mean()
    expected = ((table.sum(0) / table.sum()) ** 2).sum()
    return float((observed - expected) / (1 - expected)) if expected < 1 else float("nan")
