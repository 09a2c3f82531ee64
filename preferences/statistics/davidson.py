"""Davidson's model: Bradley–Terry with ties as a separate outcome. Pure NumPy.

Let π = exp(strength) and D = π_i + π_j + ν √(π_i π_j). Then P(i beats j) = π_i / D, and P(tie) = ν √(π_i π_j)
/ D. Source: Davidson, "On extending the Bradley–Terry model to accommodate ties in paired comparison
experiments" (JASA 65, 1970). The parameter ν ≥ 0 is the tendency to tie: two equal models tie with
probability ν / (2 + ν).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.bradley_terry import MAX_ITERATIONS, MAX_STEP, TOLERANCE, ground_of, half_ties


class Davidson(NamedTuple):
    """`strength` contains log odds, centred on 0, and has shape (..., M). `tie` contains ν and has shape
    (...)."""

    strength: NDArray[np.float64]
    tie: NDArray[np.float64]


def fit(wins: NDArray[np.float64], ties: NDArray[np.float64], *, prior: float = 0.0) -> Davidson:
    """Maximum-likelihood strengths and ν by Newton's method.

    wins, ties: (..., M, M) arrays as in `bradley_terry.Table`. The leading axes index separate problems.
    prior: the number of virtual wins *and* of virtual losses of each model against a model of strength 0. For
        ν, the prior adds virtual outcomes between two equal models: `prior` ties and `prior` strict outcomes.
        A prior above 0 keeps all estimates finite, even for models that are undefeated or were never
        compared. The estimates also remain finite if there are no ties or only ties.
    Raises ValueError for wrong shapes or counts. Without a prior, comparisons that leave a parameter
        undetermined also raise ValueError. Raises RuntimeError if the method does not converge.
    """
    wins, ties = np.asarray(wins, dtype=np.float64), np.asarray(ties, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or wins.shape != ties.shape:
        raise ValueError(
            f"`wins` and `ties` must be square and have the same shape, not {wins.shape} and {ties.shape}."
        )
    if not np.isfinite(wins + ties).all() or (wins < 0).any() or (ties < 0).any() or prior < 0:
        raise ValueError("`wins`, `ties` and `prior` must be finite and not negative.")
    if (ties != np.swapaxes(ties, -1, -2)).any():
        raise ValueError("`ties` must be symmetric.")
    models = wins.shape[-1]
    apart = 1 - np.eye(models)
    wins, ties = wins * apart, ties * apart
    if prior == 0:
        _check_determined(wins, ties)
    games = wins + np.swapaxes(wins, -1, -2) + ties
    # The sufficient statistics are each model's points (1 for a win, ½ for a tie) and the number of ties.
    points = half_ties(wins, ties).sum(-1)
    n_ties = ties.sum((-1, -2)) / 2
    strength, log_tie = np.zeros(wins.shape[:-1]), np.zeros(wins.shape[:-2])
    gauge = np.ones((models, models)) if prior == 0 else np.zeros((models, models))
    for _ in range(MAX_ITERATIONS):
        # Let d = s_i − s_j. Then P(win) = e^{d/2}/Z, P(loss) = e^{−d/2}/Z and P(tie) = ν/Z. The derivatives
        # of the log numerators with respect to d are ½, −½ and 0.
        half = (strength[..., :, None] - strength[..., None, :]) / 2
        top = np.maximum(np.abs(half), log_tie[..., None, None])
        win, loss, tie = (np.exp(x - top) for x in (half, -half, log_tie[..., None, None] + 0 * half))
        total = win + loss + tie
        win, loss, tie = win / total, loss / total, tie / total
        alone = 0.5 * (1 + np.tanh(0.5 * strength))
        equal = 1 / (1 + 2 * np.exp(-log_tie))
        gradient = points - (games * (win + tie / 2)).sum(-1) + prior * (1 - 2 * alone)
        tie_gradient = n_ties - (games * tie).sum((-1, -2)) / 2 + prior * (1 - 2 * equal)
        weight = games * ((win + loss) - (win - loss) ** 2) / 4
        cross = -(games * tie * (win - loss) / 2).sum(-1)
        diagonal = weight.sum(-1) + 2 * prior * alone * (1 - alone)
        information = np.zeros((*wins.shape[:-2], models + 1, models + 1))
        information[..., :models, :models] = diagonal[..., None] * np.eye(models) - weight + gauge
        information[..., :models, models] = information[..., models, :models] = cross
        information[..., models, models] = (games * tie * (1 - tie)).sum((-1, -2)) / 2 + 2 * prior * equal * (
            1 - equal
        )
        both = np.concatenate([gradient, tie_gradient[..., None]], axis=-1)
        step = np.linalg.solve(information, both[..., None])[..., 0]
        longest = np.abs(step).max(axis=-1, keepdims=True, initial=0.0)
        step = step * np.minimum(1.0, MAX_STEP / np.maximum(longest, MAX_STEP))
        strength, log_tie = strength + step[..., :models], log_tie + step[..., models]
        if longest.max(initial=0.0) < TOLERANCE:
            return Davidson(strength - strength.mean(axis=-1, keepdims=True), np.exp(log_tie))
    raise RuntimeError(f"Davidson's model did not converge in {MAX_ITERATIONS} steps.")


def _check_determined(wins: NDArray[np.float64], ties: NDArray[np.float64]) -> None:
    points = half_ties(wins, ties).reshape(-1, *wins.shape[-2:])
    if any(ground_of(one).level.max(initial=0) > 0 for one in points):
        raise ValueError("Some models never won or never lost, even indirectly; use a prior above 0.")
    if (ties.sum((-1, -2)) == 0).any() or (wins.sum((-1, -2)) == 0).any():
        raise ValueError("The comparisons contain either no ties or nothing but ties; use a prior above 0.")
