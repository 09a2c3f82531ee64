"""Dawid–Skene: joint estimation of the true label of each item and the error rates of each annotator. Pure
NumPy.

Source: Dawid & Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm" (Applied
Statistics 28, 1979). Items typically have only two or three votes. These low counts do not bias the
estimates, because the likelihood sums over the unknown true labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.iterative import em
from preferences.statistics.iterative.convergence import Convergence

MAX_STEPS = 1000
# EM ends when a step increases the log-likelihood by at most this many nats.
TOLERANCE = 1e-8
# Probabilities below this value are raised to it before their logarithm is taken, because log(0) is −∞.
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
