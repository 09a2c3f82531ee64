"""Dawid–Skene: joint estimation of the true label of each item and the error rates of each annotator. Pure
NumPy.

Source: Dawid & Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (Applied
Statistics 28, 1979). Items typically have only two or three votes. The estimates are not biased by these low
numbers, because the likelihood sums over the unknown true labels.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics import em
from preferences.statistics.convergence import Convergence
from preferences.statistics.intervals import LEVEL, MAX_GROUPS
from preferences.statistics.pairs import rankings_that_meet

MAX_STEPS = 1000
# The smallest increase of the log-likelihood (in nats) for which another EM step is taken.
TOLERANCE = 1e-9
START_ACCURACY = 0.8
# Virtual correct and incorrect verdicts keep each annotator's accuracy inside (0, 1).
ACCURACY_PRIOR = 1.0
# With two annotators, only the product of their reliabilities is identifiable.
MIN_ANNOTATORS = 3
# The intervals need a matrix with one row and one column per annotator. Its inversion takes about 1 s for
# 1,000 annotators, and the time grows with the cube of their number.
MAX_ANNOTATORS_WITH_INTERVALS = 1000
# Logarithms of probabilities below this value would be −∞.
TINY = 1e-300


class DawidSkene(NamedTuple):
    """`truth[u, v]` is the probability that the true label of item u is v. `prior[v]` is the frequency of
    label v. `confusion[a, t, v]` is the probability that annotator a gives label v if the true label is t.
    Rows of `confusion` without expected votes are NaN. The shapes are (U, V), (V,) and (A, V, V).
    `log_likelihood` is the log-likelihood of the votes under these estimates."""

    truth: NDArray[np.float64]
    prior: NDArray[np.float64]
    confusion: NDArray[np.float64]
    log_likelihood: float
    convergence: Convergence


def fit(
    items: ArrayLike,
    annotators: ArrayLike,
    labels: ArrayLike,
    *,
    n_items: int,
    n_annotators: int,
    n_labels: int,
    smoothing: float = 0.0,
    max_steps: int = MAX_STEPS,
    tolerance: float = TOLERANCE,
) -> DawidSkene:
    """Run EM, starting from the vote shares, until a step increases the log-likelihood (with smoothing: the
    log posterior) by at most `tolerance`. After `max_steps` steps, the best estimates are returned, and
    `convergence.converged` is False.

    `items`, `annotators` and `labels` are (N,) arrays of integers, with one entry per vote. `smoothing` is
    the number of virtual votes in each cell of each confusion matrix; 0 gives the maximum-likelihood
    estimate. For an item without votes, `truth` is the prior. Raises ValueError for unequal shapes, indices
    out of range or negative smoothing.
    """
    item, who, label = (np.asarray(part, dtype=np.int64) for part in (items, annotators, labels))
    if item.ndim != 1 or not item.shape == who.shape == label.shape:
        raise ValueError("`items`, `annotators` and `labels` must each have shape (N,).")
    for part, size in ((item, n_items), (who, n_annotators), (label, n_labels)):
        if len(part) and (part.min() < 0 or part.max() >= size):
            raise ValueError("An index is out of range.")
    if n_labels < 1 or not smoothing >= 0:
        raise ValueError("`n_labels` must be at least 1, and `smoothing` must be 0 or more.")
    votes = np.bincount(item * n_labels + label, minlength=n_items * n_labels).astype(np.float64)
    shares = votes.reshape(n_items, n_labels)
    n = shares.sum(1, keepdims=True)
    known = n[:, 0] > 0
    said = who * n_labels + label

    def maximised(truth: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The M-step: the label frequencies and the expected votes in each cell of the confusion matrices."""
        prior = truth[known].mean(0) if known.any() else np.full(n_labels, 1 / n_labels)
        # Element [a, v, t] is the expected number of items that have the true label t and received label v
        # from annotator a.
        tally = np.stack(
            [
                np.bincount(said, weights=truth[item, true], minlength=n_annotators * n_labels)
                for true in range(n_labels)
            ],
            axis=-1,
        ).reshape(n_annotators, n_labels, n_labels)
        return prior, np.swapaxes(tally + smoothing, 1, 2)

    def expected(logs: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """The E-step: the probability of each label of each item, and the log-likelihood of the votes.
        `logs` contains the logarithms of the label frequencies, then those of the confusion matrices."""
        confusion = logs[n_labels:].reshape(n_annotators, n_labels, n_labels)
        joint = np.tile(logs[:n_labels], (n_items, 1))
        for true in range(n_labels):
            spoken = confusion[who, true, label]
            joint[:, true] += np.bincount(item, weights=spoken, minlength=n_items)
        top = joint.max(1, keepdims=True)
        scaled = np.exp(joint - top)
        total = scaled.sum(1, keepdims=True)
        return scaled / total, float((top[:, 0] + np.log(total[:, 0]))[known].sum())

    # EM runs on logarithms, because an extrapolation of probabilities could be negative.
    def logs_of(prior: NDArray[np.float64], tally: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([_log_shares(prior), _log_shares(tally).ravel()])

    def step(given: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        logs = np.concatenate(
            [
                _normalised(given[:n_labels]),
                _normalised(given[n_labels:].reshape(n_annotators, n_labels, n_labels)).ravel(),
            ]
        )
        truth, likelihood = expected(logs)
        return logs_of(*maximised(truth)), likelihood + smoothing * float(logs[n_labels:].sum())

    start = np.divide(shares, n, out=np.full_like(shares, 1 / n_labels), where=n > 0)
    logs, convergence = em.maximise(
        step, logs_of(*maximised(start)), tolerance=tolerance, max_steps=max_steps
    )
    truth, likelihood = expected(logs)
    prior, tally = maximised(truth)
    total = tally.sum(-1, keepdims=True)
    confusion = np.divide(tally, total, out=np.full_like(tally, np.nan), where=total > 0)
    return DawidSkene(truth, prior, confusion, likelihood, convergence)


def _log_shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithms of the shares along the last axis. If all counts are 0, the shares are equal."""
    total = counts.sum(-1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, 1 / counts.shape[-1]), where=total > 0)
    logs: NDArray[np.float64] = np.log(np.maximum(shares, TINY))
    return logs


def _normalised(logs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift logarithms so that their exponentials sum to 1 along the last axis."""
    top = logs.max(-1, keepdims=True)
    found: NDArray[np.float64] = logs - top - np.log(np.exp(logs - top).sum(-1, keepdims=True))
    return found


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
    response of each pair is truly better, but does not know which.

    This is the "one-coin" Dawid–Skene model, with two labels and a single accuracy p_k per annotator. A
    single accuracy is enough, because the order of the two responses in a pair is arbitrary. Let θ = logit p,
    and let ℓ = Σ y θ over the verdicts y = ±1 on a pair. Then the pair's likelihood is cosh(ℓ/2) · Π √(p (1 −
    p)), so EM needs only one number (ℓ) per pair. The estimate is the posterior mode with the prior
    p (1 − p), that is, Beta(2, 2). The prior keeps p inside (0, 1). It also gives the log posterior a maximum
    if the annotators answer at random; the likelihood itself is then nearly flat in every p.

    All arrays have shape (N,). `verdicts` are −1 or 1; leave out ties, which carry no order. `clusters` are
    the tasks. The intervals assume that the log-odds are normally distributed. Verdicts on the pairs of a
    ranking are dependent. The variance is therefore the sandwich H⁻¹ J H⁻¹, with J summed over clusters
    (White 1982). `low` and `high` are NaN without `intervals`, and for more than
    MAX_ANNOTATORS_WITH_INTERVALS annotators. The majority is assumed to be correct more often than not.
    Without this assumption, the mirror-image solution would fit equally well. After MAX_STEPS steps, the
    best estimate is returned, and `convergence.converged` is False. Raises ValueError for unequal shapes or
    other verdicts.
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
    first, second = rankings_that_meet(pair)
    together = np.bincount(
        who[first] * people + who[second],
        weights=curve[pair[first]] * y[first] * y[second],
        minlength=people**2,
    ).reshape(people, people)
    information -= together + together.T
    _, number = np.unique(cluster, return_inverse=True)
    # With many clusters, sums over groups of clusters estimate the same J.
    group = number % max(MAX_GROUPS, 10 * people)
    size = int(group.max()) + 1
    scores = np.bincount(group * people + who, weights=right - p[who], minlength=size * people)
    scatter = scores.reshape(size, people).T @ scores.reshape(size, people)
    inverse = np.linalg.pinv(information, hermitian=True)
    variance = np.diag(inverse @ scatter @ inverse)
    return np.sqrt(np.maximum(variance, 0.0))
