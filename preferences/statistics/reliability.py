"""The reliability of annotators: the one-coin Dawid–Skene model of verdicts on response pairs. Pure NumPy.

Source: Dawid & Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (Applied
Statistics 28, 1979). Here, each annotator has a single accuracy. Pairs typically have only two or three
verdicts. These low counts do not bias the estimates, because the likelihood sums over the unknown truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.intervals import LEVEL, MAX_GROUPS
from preferences.statistics.iterative import em
from preferences.statistics.iterative.convergence import Convergence
from preferences.statistics.pairs import rankings_that_meet

MAX_STEPS = 1000
# EM ends when a step increases the log posterior by at most this many nats.
TOLERANCE = 1e-8
START_ACCURACY = 0.8
# Virtual correct and incorrect verdicts keep each annotator's accuracy inside (0, 1).
ACCURACY_PRIOR = 1.0
# With two annotators, only the product of their reliabilities is identifiable.
MIN_ANNOTATORS = 3
# The intervals need a matrix with one row and one column per annotator. Inverting this matrix takes about 1 s
# for 1,000 annotators, and the time grows with the cube of the number of annotators.
MAX_ANNOTATORS_WITH_INTERVALS = 1000
# The maximum number of cells in a temporary array (32 MB).
CHUNK_CELLS = 4_000_000


class Reliability(NamedTuple):
    """The accuracy of each annotator's verdicts. A strict verdict is shared if its pair has at least one
    other strict verdict.

    `accuracy`, `low` and `high` have shape (A,). The three values are NaN for annotators without a shared
    verdict. If fewer than three annotators have shared verdicts, all values are NaN, and `convergence` is
    None. `n` is the number of shared verdicts, with shape (A,). `first_right[u]` is the probability that the
    first response of pair u is better; for a pair without information, the probability is ½. `first_right`
    has shape (U,)."""

    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]
    first_right: NDArray[np.float64]
    convergence: Convergence | None


def pair_reliability(
    pairs: ArrayLike,
    annotators: ArrayLike,
    verdicts: ArrayLike,
    *,
    n_pairs: int,
    n_annotators: int,
    clusters: ArrayLike,
    level: float = LEVEL,
    intervals: bool = True,
) -> Reliability:
    """Estimate the probability that an annotator's strict verdict is correct. The model assumes that one
    response of each pair is truly better; which one is unknown.

    This is the "one-coin" Dawid–Skene model, with two labels and a single accuracy p_k per annotator. A
    single accuracy is enough, because the order of the two responses in a pair is arbitrary. Let θ = logit p,
    and let ℓ = Σ y θ over the verdicts y = ±1 on a pair. Then the pair's likelihood is cosh(ℓ/2) · Π √(p (1 −
    p)), so EM needs only one number (ℓ) per pair. The estimate is the posterior mode with the prior
    p (1 − p), that is, Beta(2, 2). The prior keeps p inside (0, 1). With the prior, the log posterior has a
    maximum even if the annotators answer at random; the likelihood itself is then nearly flat in every p.

    All input arrays have shape (N,). `verdicts` are −1 or 1; leave out ties, which carry no order. `clusters`
    are the tasks. The intervals assume that the log-odds are normally distributed. Verdicts on the pairs of a
    ranking are dependent. The variance is therefore the sandwich H⁻¹ J H⁻¹, with J summed over clusters
    (White 1982). `low` and `high` are NaN without `intervals`, and for more than
    MAX_ANNOTATORS_WITH_INTERVALS annotators. The majority is assumed to be correct more often than not.
    Without this assumption, the mirror-image solution would fit equally well. After MAX_STEPS steps, the best
    estimate is returned, and `convergence.converged` is False. Raises ValueError for unequal shapes, or for
    verdicts other than −1 and 1.
    """
    pair, who, cluster = (np.asarray(part, dtype=np.int64) for part in (pairs, annotators, clusters))
    y = np.asarray(verdicts, dtype=np.float64)
    if pair.ndim != 1 or not pair.shape == who.shape == cluster.shape == y.shape:
        raise ValueError("`pairs`, `annotators`, `verdicts` and `clusters` must each have shape (N,).")
    if not np.isin(y, (-1, 1)).all():
        raise ValueError("Verdicts must be −1 or 1; leave out ties.")
    nothing = np.full(n_annotators, np.nan)
    votes = np.bincount(pair, minlength=n_pairs)
    shared = votes[pair] > 1
    # The verdicts are sorted by pair, so that sums over a pair's verdicts stay in the processor's cache.
    order = np.flatnonzero(shared)[np.argsort(pair[shared], kind="stable")]
    pair, who, cluster, y = pair[order], who[order], cluster[order], y[order]
    n = np.bincount(who, minlength=n_annotators)
    if (n > 0).sum() < MIN_ANNOTATORS:
        return Reliability(nothing, nothing, nothing, n, np.full(n_pairs, 0.5), None)

    def support_of(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(pair, weights=y * theta[who], minlength=n_pairs), dtype=np.float64)

    def step(theta: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        support = support_of(theta)
        # A verdict is correct with probability ½ (1 + y tanh(ℓ/2)). Only the sum of these probabilities for
        # each annotator is needed here.
        lean = y * np.tanh(0.5 * support)[pair]
        right = 0.5 * (n + np.bincount(who, weights=lean, minlength=n_annotators))
        right = np.clip(right, 0, n) + ACCURACY_PRIOR
        posterior = _log_cosh(support).sum() - ((n + 2 * ACCURACY_PRIOR) * _log_cosh(theta)).sum()
        return np.log(right / (n + 2 * ACCURACY_PRIOR - right)), float(posterior)

    start = np.full(n_annotators, np.log(START_ACCURACY / (1 - START_ACCURACY)))
    theta, convergence = em.maximise(step, start, tolerance=TOLERANCE, max_steps=MAX_STEPS)
    support = support_of(theta)
    se = nothing
    if intervals and n_annotators <= MAX_ANNOTATORS_WITH_INTERVALS:
        se = _standard_errors(_sigmoid(theta), pair, who, cluster, y, support)
    z = NormalDist().inv_cdf((1 + level) / 2)
    accuracy, low, high = (
        np.where(n > 0, _sigmoid(x), np.nan) for x in (theta, theta - z * se, theta + z * se)
    )
    return Reliability(accuracy, low, high, n, _sigmoid(support), convergence)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    value: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))
    return value


def _log_cosh(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(2 cosh(x/2)), without overflow."""
    size = np.abs(x)
    value: NDArray[np.float64] = 0.5 * size + np.log1p(np.exp(-size))
    return value


def _standard_errors(
    p: NDArray[np.float64],
    pair: NDArray[np.int64],
    who: NDArray[np.int64],
    cluster: NDArray[np.int64],
    y: NDArray[np.float64],
    support: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard errors of the log-odds. The information matrix −∂² log L/∂θ_k∂θ_j is the sum of [k = j] p(1 −
    p) − ¼ sech²(ℓ/2) y_k y_j over all pairs. A verdict contributes P(the verdict is correct) − p to the
    gradient of log L."""
    people = len(p)
    right = 0.5 * (1 + y * np.tanh(0.5 * support)[pair])
    curve = 0.25 / np.cosh(np.clip(support, -80, 80) / 2) ** 2
    own = (p * (1 - p))[who] - curve[pair]
    information = np.diag(np.bincount(who, weights=own, minlength=people) + 2 * ACCURACY_PRIOR * p * (1 - p))
    information -= _together(pair, who, y * np.sqrt(curve[pair]), people)
    _, number = np.unique(cluster, return_inverse=True)
    # If there are many clusters, they are combined into groups, and the sums over groups still estimate the
    # same J.
    group = number % max(MAX_GROUPS, 10 * people)
    size = int(group.max()) + 1
    scores = np.bincount(group * people + who, weights=right - p[who], minlength=size * people)
    scatter = scores.reshape(size, people).T @ scores.reshape(size, people)
    try:
        variance = np.diag(np.linalg.solve(information, np.linalg.solve(information, scatter).T))
    except np.linalg.LinAlgError:
        inverse = np.linalg.pinv(information, hermitian=True)
        variance = np.diag(inverse @ scatter @ inverse)
    return np.sqrt(np.maximum(variance, 0.0))


def _together(
    pair: NDArray[np.int64], who: NDArray[np.int64], weight: NDArray[np.float64], people: int
) -> NDArray[np.float64]:
    """The (A, A) array of Σ w_k w_j, summed over any two verdicts by annotators k and j on the same pair.
    `pair` is sorted."""
    found = np.zeros((people, people))
    votes = np.diff(np.flatnonzero(np.diff(pair, prepend=-1, append=-1)))
    # The measured time per pair of responses, in units of 0.3 ns. Without a table, the time is 50 for each
    # product of two verdicts. With a table, it is 10 for each cell of the table and 1 for each cell of the
    # matrix product.
    many = 50 * votes**2 > people * (people + 10)
    of_many = np.repeat(many, votes)
    for chunk, number in _chunks(np.flatnonzero(~of_many), votes[~many], votes[~many] ** 2):
        first, second = rankings_that_meet(number, most=len(number))
        first, second = chunk[first], chunk[second]
        cells = who[first] * people + who[second]
        one_way = np.bincount(cells, weights=weight[first] * weight[second], minlength=people**2)
        found += one_way.reshape(people, people) + one_way.reshape(people, people).T
    for chunk, number in _chunks(np.flatnonzero(of_many), votes[many], np.full(int(many.sum()), people)):
        size = (int(number[-1]) + 1) * people
        table = np.bincount(number * people + who[chunk], weights=weight[chunk], minlength=size)
        table = table.reshape(-1, people)
        found += table.T @ table
        own = np.bincount(who[chunk], weights=weight[chunk] ** 2, minlength=people)
        found[np.diag_indices(people)] -= own
    return found


def _chunks(
    rows: NDArray[np.int64], sizes: NDArray[np.int64], costs: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Divide `rows` into chunks of whole groups. A chunk costs at most CHUNK_CELLS or consists of a single
    group. `sizes` contains the number of rows of each group, and `costs` contains the cost of each group.
    Yields each chunk and, for each of its rows, the number of the row's group, counted from 0 within the
    chunk."""
    ends, cost, start = np.cumsum(sizes), np.cumsum(costs), 0
    while start < len(sizes):
        before = int(cost[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(cost, before + CHUNK_CELLS, side="right")))
        part = rows[ends[start] - sizes[start] : ends[stop - 1]]
        yield part, np.repeat(np.arange(stop - start), sizes[start:stop])
        start = stop
