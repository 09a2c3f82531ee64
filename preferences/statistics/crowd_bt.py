"""CrowdBT: strengths of items and the reliability of each annotator, from pairwise comparisons. Pure NumPy.

In the model, P(annotator k prefers i to j) = η_k σ(s_i − s_j) + (1 − η_k) σ(s_j − s_i). The log-likelihood is
maximised with the penalty term λ Σ_i [log σ(s_i) + log σ(−s_i)]. This term is equivalent to λ virtual wins
and λ virtual losses of each item against an item of strength 0. Source: Chen, Bennett, Collins-Thompson &
Horvitz, "Pairwise ranking aggregation in a crowdsourced setting" (WSDM 2013). An annotator who always agrees
with the strengths has η = 1. An annotator who answers at random has η = ½. If an annotator tends to reverse
the order of the strengths, η is below ½. Ties carry no order and are left out. The estimate is the joint
maximum over s and η, as in the paper. A reliable estimate needs at least about a hundred verdicts on each
item. With fewer verdicts, the strengths overfit the same votes from which η is estimated (Neyman & Scott
1948), and η is overestimated. The bias is up to 0.36 with 9 verdicts on each item, up to 0.1 with 48, and up
to 0.03 with 230. For responses with only a few rankings, use `reliability.pair_reliability`. That function
sums over the unknown truth and does not have this bias.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.intervals import LEVEL
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.iterative.optimise import minimise

PENALTY = 0.5
# Virtual correct and incorrect verdicts keep η inside (0, 1), even for annotators without incorrect verdicts.
ETA_PRIOR = 1.0
START_ETA = 0.8
MAX_STEPS = 500
TOLERANCE = 1e-4
# Probabilities below this value are raised to it before their logarithm is taken, because log(0) is −∞.
TINY = 1e-300
# The maximum number of connected items for which intervals are computed. With more items, computing the
# covariance of the strengths would take too long.
MAX_BLOCK = 2000


class CrowdBT(NamedTuple):
    """`strength` has shape (I,), with one value per item. `eta`, `low`, `high` and `n` have shape (A,), with
    one value per annotator. `n` is the number of strict verdicts. If `n` is 0, `eta`, `low` and `high` are
    NaN. `low` and `high` are also NaN where the data do not determine an interval."""

    strength: NDArray[np.float64]
    eta: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]
    convergence: Convergence


def fit(
    preferred: ArrayLike,
    other: ArrayLike,
    annotators: ArrayLike,
    *,
    n_items: int,
    n_annotators: int,
    penalty: float = PENALTY,
    level: float = LEVEL,
) -> CrowdBT:
    """Estimate item strengths and annotator reliabilities, with confidence intervals for the reliabilities.

    `preferred`, `other` and `annotators` are (N,) arrays of integers, with one entry per strict verdict.
    `penalty` is λ in the module's docstring. There are two mirror-image solutions. The initial value (η = 0.8
    for all annotators) selects the solution in which the majority is correct.

    The intervals assume that the log-odds of η are normally distributed. The variances are taken from the
    inverse of the observed information matrix. This matrix covers strengths and reliabilities together, so
    uncertainty about the strengths widens the intervals. All intervals are NaN if more than MAX_BLOCK items
    are connected. Computing the covariance of the reliabilities takes about 1 s for 1,000 annotators. After
    MAX_STEPS steps, the best estimate is returned, and `convergence.converged` is False. Raises ValueError
    for unequal shapes, indices out of range or a penalty of 0 or less.
    """
    win, lose, who = (np.asarray(part, dtype=np.int64) for part in (preferred, other, annotators))
    if win.ndim != 1 or not win.shape == lose.shape == who.shape:
        raise ValueError("`preferred`, `other` and `annotators` must each have shape (N,).")
    if penalty <= 0:
        raise ValueError(
            "`penalty` must be above 0: without a penalty, strengths from few votes can be infinite."
        )
    for part, size in ((win, n_items), (lose, n_items), (who, n_annotators)):
        if len(part) and (part.min() < 0 or part.max() >= size):
            raise ValueError("An index is out of range.")
    n = np.bincount(who, minlength=n_annotators)

    def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        strength, logit = x[:n_items], x[n_items:]
        eta = _sigmoid(logit)
        right = _sigmoid(strength[win] - strength[lose])
        reliable = eta[who]
        chance = np.maximum(reliable * right + (1 - reliable) * (1 - right), TINY)
        both = np.concatenate([strength, logit])
        weights = np.concatenate([np.full(n_items, penalty), np.full(n_annotators, ETA_PRIOR)])
        value = -np.log(chance).sum() + (weights * (np.logaddexp(0, both) + np.logaddexp(0, -both))).sum()
        by_strength = (2 * reliable - 1) * right * (1 - right) / chance
        by_eta = (2 * right - 1) * reliable * (1 - reliable) / chance
        gradient = np.concatenate(
            [
                np.bincount(lose, weights=by_strength, minlength=n_items)
                - np.bincount(win, weights=by_strength, minlength=n_items),
                -np.bincount(who, weights=by_eta, minlength=n_annotators),
            ]
        )
        return float(value), gradient + weights * (2 * _sigmoid(both) - 1)

    met = np.bincount(win, minlength=n_items) + np.bincount(lose, minlength=n_items)
    curvature = np.concatenate([met / 8 + penalty / 2, n / 16 + ETA_PRIOR / 2])
    start = np.concatenate([np.zeros(n_items), np.full(n_annotators, np.log(START_ETA / (1 - START_ETA)))])
    # If all strengths are equal, the gradient with respect to η is zero. The search therefore starts from
    # strengths estimated from each item's wins and losses.
    start[:n_items] = (
        (np.bincount(win, minlength=n_items) - np.bincount(lose, minlength=n_items)) / (met + 2 * penalty) * 2
    )
    found = minimise(loss, start, scale=1 / curvature, tolerance=TOLERANCE, max_iterations=MAX_STEPS)
    strength, logit = found.at[:n_items], found.at[n_items:]
    se = _standard_errors(strength, logit, win, lose, who, penalty)
    z = NormalDist().inv_cdf((1 + level) / 2)
    eta, low, high = (np.where(n > 0, _sigmoid(x), np.nan) for x in (logit, logit - z * se, logit + z * se))
    return CrowdBT(strength, eta, low, high, n, found.convergence)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))
    return value


def _standard_errors(
    strength: NDArray[np.float64],
    logit: NDArray[np.float64],
    win: NDArray[np.int64],
    lose: NDArray[np.int64],
    who: NDArray[np.int64],
    penalty: float,
) -> NDArray[np.float64]:
    """Standard errors of the log-odds of η. The errors are the square roots of the diagonal of (H_ηη − H_ηs
    H_ss⁻¹ H_sη)⁻¹, where H is the Hessian of the loss.

    H_ss has one block for each set of items that comparisons connect (usually the items of one task). Blocks
    of the same size are inverted together.
    """
    n_items, people = len(strength), len(logit)
    eta = _sigmoid(logit)
    right = _sigmoid(strength[win] - strength[lose])
    reliable = eta[who]
    chance = np.maximum(reliable * right + (1 - reliable) * (1 - right), TINY)
    # Derivatives of −log P(verdict) with respect to d = s_i − s_j and the log-odds of η.
    d_right, d_eta = right * (1 - right), reliable * (1 - reliable)
    a, b = (2 * reliable - 1) * d_right, (2 * right - 1) * d_eta
    h_dd = (a / chance) ** 2 - (2 * reliable - 1) * d_right * (1 - 2 * right) / chance
    h_de = a * b / chance**2 - 2 * d_right * d_eta / chance
    h_ee = (b / chance) ** 2 - (2 * right - 1) * d_eta * (1 - 2 * reliable) / chance
    information = np.diag(np.bincount(who, weights=h_ee, minlength=people) + 2 * ETA_PRIOR * eta * (1 - eta))
    block = _joined(win, lose, n_items)
    size = np.bincount(block)
    place = np.empty(n_items, dtype=np.int64)
    order = np.argsort(block, kind="stable")
    place[order] = np.arange(n_items) - np.repeat(np.cumsum(size) - size, size)
    for k in np.unique(size[size > 1]):
        if k > MAX_BLOCK:
            return np.full(people, np.nan)
        here = np.flatnonzero(size == k)
        number = np.full(len(size), -1)
        number[here] = np.arange(len(here))
        rows = np.flatnonzero(number[block[win]] >= 0)
        if len(rows) == 0:
            continue
        of = number[block[win[rows]]]
        i, j, h = place[win[rows]], place[lose[rows]], h_dd[rows]
        square = np.zeros(len(here) * k * k)
        for one, two, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            square += np.bincount((of * k + one) * k + two, weights=sign * h, minlength=len(square))
        square = square.reshape(len(here), k, k)
        members = order[np.isin(block[order], here)].reshape(len(here), k)
        own = _sigmoid(strength[members])
        square[:, np.arange(k), np.arange(k)] += 2 * penalty * own * (1 - own)
        # The annotators of each block, numbered as columns of that block.
        seats, seat = np.unique(of * people + who[rows], return_inverse=True)
        seat_block, seat_person = np.divmod(seats, people)
        first = np.searchsorted(seat_block, np.arange(len(here)))
        column = (np.arange(len(seats)) - first[seat_block])[seat]
        width = int(column.max()) + 1
        cross = np.zeros(len(here) * k * width)
        for one, sign in ((i, 1), (j, -1)):
            cross += np.bincount(
                (of * k + one) * width + column, weights=sign * h_de[rows], minlength=len(cross)
            )
        cross = cross.reshape(len(here), k, width)
        lost = np.swapaxes(cross, 1, 2) @ np.linalg.solve(square, cross)
        person = np.zeros((len(here), width), dtype=np.int64)
        person[seat_block, np.arange(len(seats)) - first[seat_block]] = seat_person
        cells = person[:, :, None] * people + person[:, None, :]
        information -= np.bincount(cells.ravel(), weights=lost.ravel(), minlength=people**2).reshape(
            people, people
        )
    variance = np.diag(np.linalg.pinv(information, hermitian=True))
    return np.sqrt(np.where(variance > 0, variance, np.nan))


def _joined(win: NDArray[np.int64], lose: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    """Number the connected components of the items. The lowest label spreads through each component, and path
    halving shortens the chains of labels."""
    label = np.arange(n_items)
    while True:
        new = label.copy()
        least = np.minimum(label[win], label[lose])
        np.minimum.at(new, win, least)
        np.minimum.at(new, lose, least)
        np.minimum.at(new, label[win], least)
        np.minimum.at(new, label[lose], least)
        new = new[new]
        if (new == label).all():
            return np.asarray(np.unique(label, return_inverse=True)[1], dtype=np.int64)
        label = new
