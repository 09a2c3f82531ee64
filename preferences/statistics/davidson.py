"""Davidson's model: Bradley–Terry with ties as a separate outcome. Pure NumPy.

Let π = exp(strength) and D = π_i + π_j + ν √(π_i π_j). Then P(i beats j) = π_i / D, and P(tie) = ν √(π_i π_j)
/ D. Source: Davidson, "On extending the Bradley–Terry model to accommodate ties in paired comparison
experiments" (JASA 65, 1970). The parameter ν ≥ 0 is the tendency to tie: two equal models tie with
probability ν / (2 + ν).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.bradley_terry import ground_of, half_ties, log_sigmoid, sigmoid
from preferences.statistics.iterative import newton
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.iterative.newton import Slopes

LOG_2 = math.log(2)


class Davidson(NamedTuple):
    """`strength` contains log odds, centred on 0, and has shape (..., M). `tie` contains ν and has shape
    (...)."""

    strength: NDArray[np.float64]
    tie: NDArray[np.float64]
    convergence: Convergence


def fit(
    wins: NDArray[np.float64],
    ties: NDArray[np.float64],
    *,
    prior: float = 0.0,
) -> Davidson:
    """Maximum-likelihood strengths and ν by Newton's method.

    wins, ties: (..., M, M) arrays as in `bradley_terry.Table`. The leading axes index separate problems.
    prior: the number of virtual wins *and* of virtual losses of each model against a model of strength 0. For
        ν, the prior adds virtual outcomes between two equal models: `prior` ties and `prior` strict outcomes.
        A prior above 0 keeps all estimates finite, even for models that are undefeated or were never
        compared. The estimates also remain finite if there are no ties or only ties.
    Raises ValueError for wrong shapes or counts. Without a prior, comparisons that leave a parameter
        undetermined also raise ValueError.
    """
    wins, ties = np.asarray(wins, dtype=np.float64), np.asarray(ties, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2] or wins.shape != ties.shape:
        raise ValueError(
            f"`wins` and `ties` must be square and have the same shape, not {wins.shape} and {ties.shape}."
        )
    if not np.isfinite(wins + ties).all() or (wins < 0).any() or (ties < 0).any() or not 0 <= prior < np.inf:
        raise ValueError("`wins`, `ties` and `prior` must be finite and not negative.")
    if (ties != np.swapaxes(ties, -1, -2)).any():
        raise ValueError("`ties` must be symmetric.")
    shape, models, problems = wins.shape, wins.shape[-1], math.prod(wins.shape[:-2])
    apart = 1 - np.eye(models)
    wins, ties = ((part * apart).reshape(problems, models, models) for part in (wins, ties))
    if prior == 0:
        _check_determined(wins, ties)
    found, convergence = newton.maximise(
        _Problems(wins, ties, prior), np.zeros((len(wins), models + 1)), sharing_offset=models
    )
    strength, log_tie = found[:, :models], found[:, models]
    return Davidson(
        newton.centred(strength).reshape(shape[:-1]), np.exp(log_tie).reshape(shape[:-2]), convergence
    )


class _Problems:
    """The log-likelihoods of (B, M, M) wins and ties. These functions are concave in the strengths and log ν.

    Let d = s_i − s_j. Then P(win) = e^{d/2}/Z, P(loss) = e^{−d/2}/Z and P(tie) = ν/Z. The derivatives of the
    log numerators with respect to d are ½, −½ and 0. No small probability is computed as 1 minus a large one,
    so the gradient is accurate even if the counts differ by a factor of 10⁹.
    """

    def __init__(self, wins: NDArray[np.float64], ties: NDArray[np.float64], prior: float) -> None:
        models = wins.shape[-1]
        self.wins, self.ties, self.prior = wins, ties, prior
        self.losses = np.swapaxes(wins, -1, -2)
        self.games = self.wins + self.losses + ties
        self.eye = np.eye(models)
        self.gauge = np.ones((models, models)) if prior == 0 else np.zeros((models, models))

    def value(self, at: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        strength, log_tie = at[:, :-1], at[:, -1]
        half = (strength[:, :, None] - strength[:, None, :]) / 2
        even = log_tie[:, None, None]
        log_win = -np.logaddexp(0.0, np.logaddexp(-2 * half, even - half))
        log_draw = -np.logaddexp(0.0, np.logaddexp(half - even, -half - even))
        virtual = (log_sigmoid(strength) + log_sigmoid(-strength)).sum(-1)
        virtual += log_sigmoid(log_tie - LOG_2) + log_sigmoid(LOG_2 - log_tie)
        data = (self.wins[which] * log_win + self.ties[which] * log_draw / 2).sum((-1, -2))
        found: NDArray[np.float64] = data + self.prior * virtual
        return found

    def slopes(self, at: NDArray[np.float64], which: NDArray[np.int64]) -> Slopes:
        strength, log_tie = at[:, :-1], at[:, -1]
        half = (strength[:, :, None] - strength[:, None, :]) / 2
        # All numerators are divided by the largest of them, so that none overflows.
        top = np.maximum(np.abs(half), log_tie[:, None, None])
        win, draw = np.exp(half - top), np.exp(log_tie[:, None, None] - top)
        total = win + np.swapaxes(win, -1, -2) + draw
        win, draw = win / total, draw / total
        loss = np.swapaxes(win, -1, -2)
        strict = win + loss
        above, below = sigmoid(strength), sigmoid(-strength)
        tied, untied = sigmoid(log_tie - LOG_2), sigmoid(LOG_2 - log_tie)
        whole = len(which) == len(self.wins)
        won, lost, drawn, games = (
            part if whole else part[which] for part in (self.wins, self.losses, self.ties, self.games)
        )
        lean, flat = (win - loss) / 2, draw / 2
        gradient = (won * (loss + flat) - lost * (win + flat) - drawn * lean).sum(-1)
        tie_gradient = (drawn * strict - (won + lost) * draw).sum((-1, -2)) / 2
        weight = games * (win * loss + flat * strict / 2)
        uneven = games * draw
        models = self.eye.shape[-1]
        information = np.empty((len(at), models + 1, models + 1))
        diagonal = weight.sum(-1) + 2 * self.prior * above * below
        information[:, :models, :models] = diagonal[..., None] * self.eye - weight + self.gauge
        cross = -(uneven * lean).sum(-1)
        information[:, :models, models] = information[:, models, :models] = cross
        information[:, models, models] = (uneven * strict).sum((-1, -2)) / 2 + (
            2 * self.prior * tied * untied
        )
        return Slopes(
            np.concatenate(
                [
                    gradient + self.prior * (below - above),
                    (tie_gradient + self.prior * (untied - tied))[:, None],
                ],
                axis=-1,
            ),
            information,
        )


def _check_determined(wins: NDArray[np.float64], ties: NDArray[np.float64]) -> None:
    points = half_ties(wins, ties).reshape(-1, *wins.shape[-2:])
    if any(ground_of(one).level.max(initial=0) > 0 for one in points):
        raise ValueError(
            "Chains of wins or ties don't connect all models in both directions; use a prior above 0."
        )
    if (ties.sum((-1, -2)) == 0).any() or (wins.sum((-1, -2)) == 0).any():
        raise ValueError("The comparisons contain either no ties or nothing but ties; use a prior above 0.")
