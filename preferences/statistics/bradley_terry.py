"""Bradley–Terry strengths from comparisons, and bootstrap samples of the comparisons. Pure NumPy.

In the model, P(i beats j) = 1 / (1 + exp(s_j − s_i)). Source: Bradley & Terry, "Rank analysis of incomplete
block designs" (Biometrika 39, 1952). A tie counts as half a win for each side. Strengths are log odds
(natural logarithm), centred on 0.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.intervals import MAX_GROUP_CELLS, MAX_GROUPS, MIN_GROUPS
from preferences.statistics.iterative import newton
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.iterative.newton import Slopes


class BradleyTerry(NamedTuple):
    """`strength` contains log odds, centred on 0, and has shape (..., M)."""

    strength: NDArray[np.float64]
    convergence: Convergence


def fit(wins: NDArray[np.float64], *, prior: float = 0.0) -> BradleyTerry:
    """Maximum-likelihood strengths by Newton's method.

    wins: (..., M, M) array, in which wins[..., i, j] is the number of times that i beat j. A tie adds ½ to
        wins[..., i, j] and ½ to wins[..., j, i]. The leading axes index separate problems.
    prior: the number of virtual wins *and* of virtual losses of each model against a model of strength 0. A
        prior above 0 keeps the strength of an undefeated model finite, and determines a strength even for
        a model that was never compared.
    Raises ValueError for a wrong shape or negative counts. Without a prior, comparisons that leave some
        strengths undetermined also raise ValueError.
    """
    wins = np.asarray(wins, dtype=np.float64)
    if wins.ndim < 2 or wins.shape[-1] != wins.shape[-2]:
        raise ValueError(f"`wins` must be square in its last two axes; its shape is {wins.shape}.")
    if not np.isfinite(wins).all() or (wins < 0).any() or not 0 <= prior < np.inf:
        raise ValueError("`wins` and `prior` must be finite and not negative.")
    shape, models, problems = wins.shape, wins.shape[-1], math.prod(wins.shape[:-2])
    wins = (wins * (1 - np.eye(models))).reshape(problems, models, models)
    if prior == 0 and not _strongly_connected(wins):
        raise ValueError(
            "Chains of wins or ties don't connect all models in both directions; use a prior above 0."
        )
    strength, convergence = newton.maximise(
        _Problems(wins, prior), np.zeros(wins.shape[:-1]), sharing_offset=models
    )
    return BradleyTerry(newton.centred(strength).reshape(shape[:-1]), convergence)


class _Problems:
    """The log-likelihoods of (B, M, M) wins. Probabilities near 0 are computed without cancellation, so the
    gradient is accurate even if wins and losses differ by a factor of 10¹⁵."""

    def __init__(self, wins: NDArray[np.float64], prior: float) -> None:
        models = wins.shape[-1]
        self.wins, self.prior = wins, prior
        self.losses = np.swapaxes(wins, -1, -2)
        self.games = self.wins + self.losses
        self.eye = np.eye(models)
        self.gauge = np.ones((models, models)) if prior == 0 else np.zeros((models, models))

    def value(self, at: NDArray[np.float64], which: NDArray[np.int64]) -> NDArray[np.float64]:
        gap = at[:, :, None] - at[:, None, :]
        alone = (log_sigmoid(at) + log_sigmoid(-at)).sum(-1)
        found: NDArray[np.float64] = (self.wins[which] * log_sigmoid(gap)).sum((-1, -2)) + self.prior * alone
        return found

    def slopes(self, at: NDArray[np.float64], which: NDArray[np.int64]) -> Slopes:
        beats = sigmoid(at[:, :, None] - at[:, None, :])
        loses = np.swapaxes(beats, -1, -2)
        above, below = sigmoid(at), sigmoid(-at)
        whole = len(which) == len(self.wins)
        won, lost, games = (part if whole else part[which] for part in (self.wins, self.losses, self.games))
        gradient = (won * loses - lost * beats).sum(-1) + self.prior * (below - above)
        weight = games * beats * loses
        diagonal = weight.sum(-1) + 2 * self.prior * above * below
        return Slopes(gradient, diagonal[..., None] * self.eye - weight + self.gauge)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e^{−x}), accurate to the last digits even where the result is nearly 0."""
    small = np.exp(-np.abs(x))
    found: NDArray[np.float64] = np.where(x >= 0, 1.0, small) / (1 + small)
    return found


def log_sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))
    return value


class Table(NamedTuple):
    """Comparisons of M models. `wins[..., i, j]` is the number of times that i beat j. `ties` is symmetric.
    The diagonals of both arrays are 0."""

    wins: NDArray[np.float64]
    ties: NDArray[np.float64]


def table_of(
    preferred: NDArray[np.int64],
    other: NDArray[np.int64],
    is_tie: NDArray[np.bool_],
    n_models: int,
) -> Table:
    """Count the comparisons in a Table of (M, M) arrays. The three (N,) input arrays contain the two models
    (0…M−1) and the outcome of each comparison. Comparisons of a model with itself are ignored."""
    met = preferred != other
    cell, tied = (preferred * n_models + other)[met], is_tie[met]
    wins, one_way = (
        np.bincount(cell[kind], minlength=n_models**2).reshape(n_models, n_models).astype(np.float64)
        for kind in (~tied, tied)
    )
    return Table(wins, one_way + one_way.T)


def resampled(
    preferred: NDArray[np.int64],
    other: NDArray[np.int64],
    is_tie: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    n_models: int,
    *,
    samples: int,
    seed: int,
) -> Table:
    """Build a Table of (samples, M, M) arrays from bootstrap samples of whole clusters. The first three
    arguments and `n_models` are as in :func:`table_of`.

    `clusters` has shape (N,). Clusters are usually tasks, because all comparisons in the rankings of a task
    involve the same few responses. If there are many clusters, they are divided into groups, as in
    `intervals.resampled_totals`.
    """
    rng = np.random.default_rng(seed)
    _, cluster = np.unique(clusters, return_inverse=True)
    n, cells = int(cluster.max(initial=-1)) + 1, n_models**2
    groups = min(n, max(MIN_GROUPS, min(MAX_GROUPS, MAX_GROUP_CELLS // max(1, 2 * cells))))
    group = (rng.permutation(n) % groups)[cluster] if groups < n else cluster
    at = (group * 2 + is_tie) * cells + preferred * n_models + other
    met = preferred != other
    totals = np.bincount(at[met], minlength=groups * 2 * cells).reshape(groups, 2 * cells).astype(np.float64)
    drawn = (
        rng.multinomial(groups, np.full(groups, 1 / groups), size=samples)
        if groups
        else np.zeros((samples, 0))
    )
    found = (drawn.astype(np.float64) @ totals).reshape(samples, 2, n_models, n_models)
    return Table(found[:, 0], found[:, 1] + np.swapaxes(found[:, 1], -1, -2))


def half_ties(wins: NDArray[Any], ties: NDArray[Any]) -> NDArray[np.float64]:
    """The input for `fit`, in which each tie counts as half a win for each side."""
    both_ways: NDArray[np.float64] = wins + 0.5 * ties
    return both_ways


class Ground(NamedTuple):
    """The groups and levels into which the comparisons divide the models.

    Both arrays have shape (M,). Models with the same `group` are connected by comparisons. Strengths in
    different groups can't be compared, even if a prior determines all strengths. Models with the same
    `level` are connected by chains of wins (or ties) in both directions. Models on a better level never lost
    to models on a worse level. The data therefore do not limit the difference between two levels; only the
    prior does.
    """

    group: NDArray[np.int64]
    level: NDArray[np.int64]


def ground_of(wins: NDArray[np.float64]) -> Ground:
    """Find the groups and levels of the models. `wins` has shape (M, M), and a tie adds ½ win for each model.
    If all models are on one level, the maximum-likelihood estimate exists and is unique. Source: Ford,
    "Solution of a ranking problem from binary comparisons" (1957)."""
    beats = np.asarray(wins) > 0
    forward = _reach(beats)
    return Ground(_classes(_reach(beats | beats.T)), _classes(forward & forward.T))


def _strongly_connected(wins: NDArray[np.float64]) -> bool:
    """Whether a chain of wins leads from every model to every other model."""
    return bool(_reach(wins > 0).all())


def _reach(steps: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Element [..., i, j] of the result states whether model j can be reached from model i. Every model can
    be reached from itself."""
    size = steps.shape[-1]
    reach: NDArray[np.bool_] = steps | np.eye(size, dtype=bool)
    for _ in range(max(1, int(np.ceil(np.log2(max(2, size)))))):
        reach = np.matmul(reach.astype(np.float32), reach.astype(np.float32)) > 0
    return reach


def _classes(together: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the classes of an (M, M) equivalence relation from 0, in order of their first members."""
    first = together.argmax(axis=1) if len(together) else np.zeros(0, dtype=np.int64)
    _, number = np.unique(first, return_inverse=True)
    return number.astype(np.int64)
