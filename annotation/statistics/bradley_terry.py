"""Bradley–Terry strengths from comparisons, with bootstrap intervals. Pure NumPy.

P(i beats j) = 1 / (1 + exp(s_j − s_i)); Bradley & Terry, "Rank analysis of incomplete block designs"
(Biometrika 39, 1952). A tie counts as half a win for each side. Strengths are natural-log odds, centred on 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_ITERATIONS = 200
TOLERANCE = 1e-9
# Full Newton steps overshoot while win rates are near 0 or 1; one unit of log odds a step never did.
MAX_STEP = 1.0


class Intervals(NamedTuple):
    strength: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def fit(wins: NDArray[np.float64], *, prior: float = 0.0) -> NDArray[np.float64]:
    """Maximum-likelihood strengths by Newton's method.

    wins: (..., M, M), wins[i, j] times that i beat j, ties as ½ each way; leading axes are separate problems.
    prior: virtual wins *and* losses of each model against one of strength 0. More than 0 keeps a model that
        always won finite, and models that were never compared on one scale.
    Returns (..., M). Raises ValueError for a wrong shape, negative counts, or (without a prior) comparisons
    that leave some strengths undetermined; RuntimeError when it does not converge.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2]:
        raise ValueError(f"wins must be square in its last two axes; its shape is {wins.shape}.")
    if not np.isfinite(wins).all() or (wins < 0).any() or prior < 0:
        raise ValueError("wins and prior must be finite and not negative.")
    models = wins.shape[-1]
    wins = wins * (1 - np.eye(models))
    if prior == 0 and not _strongly_connected(wins):
        raise ValueError("Some models never won (or lost), directly or over others; use a prior above 0.")
    games = wins + np.swapaxes(wins, -1, -2)
    strengths = np.zeros(wins.shape[:-1])
    gauge = np.ones((models, models)) if prior == 0 else np.zeros((models, models))
    for _ in range(MAX_ITERATIONS):
        beats = _sigmoid(strengths[..., :, None] - strengths[..., None, :])
        alone = _sigmoid(strengths)
        gradient = (wins - games * beats).sum(-1) + prior * (1 - 2 * alone)
        weight = games * beats * (1 - beats)
        diagonal = weight.sum(-1) + 2 * prior * alone * (1 - alone)
        information = diagonal[..., None] * np.eye(models) - weight + gauge
        step = np.linalg.solve(information, gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=-1, keepdims=True, initial=0.0)
        strengths = strengths + step * np.minimum(1.0, MAX_STEP / np.maximum(longest, MAX_STEP))
        if longest.max(initial=0.0) < TOLERANCE:
            centred: NDArray[np.float64] = strengths - strengths.mean(axis=-1, keepdims=True)
            return centred
    raise RuntimeError(f"Bradley–Terry did not converge in {MAX_ITERATIONS} steps.")


def fit_with_intervals(
    wins: NDArray[np.int64],
    ties: NDArray[np.int64],
    *,
    prior: float,
    samples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Intervals:
    """Strengths with percentile bootstrap intervals (Efron 1979), resampling single comparisons.

    wins: (M, M), wins[i, j] times that i beat j. ties: (M, M), symmetric, ties[i, j] times that i and j tied;
    the diagonals are ignored. Same seed, same intervals.
    """
    wins, ties = np.asarray(wins), np.asarray(ties)
    if wins.ndim != 2 or wins.shape != ties.shape or (ties != ties.T).any():
        raise ValueError("wins and ties must be (M, M), ties symmetric.")
    models = len(wins)
    off_diagonal = wins * (1 - np.eye(models, dtype=np.int64))
    upper = np.triu(ties, k=1)
    cells = np.concatenate([off_diagonal.ravel(), upper.ravel()])
    total = int(cells.sum())
    strength = fit(_half_ties(off_diagonal, upper), prior=prior)
    if total == 0:
        return Intervals(strength, strength.copy(), strength.copy())
    drawn = np.random.default_rng(seed).multinomial(total, cells / total, size=samples)
    drawn_wins, drawn_ties = (part.reshape(samples, models, models) for part in np.split(drawn, 2, axis=1))
    resampled = fit(_half_ties(drawn_wins, drawn_ties), prior=prior)
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return Intervals(strength, low, high)


def _half_ties(wins: NDArray[np.int64], upper_ties: NDArray[np.int64]) -> NDArray[np.float64]:
    both_ways: NDArray[np.float64] = wins + 0.5 * (upper_ties + np.swapaxes(upper_ties, -1, -2))
    return both_ways


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))
    return value


def _strongly_connected(wins: NDArray[np.float64]) -> bool:
    """Whether from every model a chain of wins leads to every other (Ford 1957: then the maximum exists)."""
    reach = (wins > 0) | np.eye(wins.shape[-1], dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(max(2, wins.shape[-1])))))):
        reach = np.matmul(reach.astype(np.float64), reach.astype(np.float64)) > 0
    return bool(reach.all())
