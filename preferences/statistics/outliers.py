"""Annotators who agree with other annotators significantly less than expected. Pure NumPy.

A ranking's verdicts on response pairs are compared with the verdicts of the task's other rankings. The
ranking's score is the share of equal verdicts. Under the null hypothesis, all annotators of a task are
interchangeable. An annotator's score is then equally likely to be any of the task's scores. This hypothesis
exactly determines the expected value and the variance of an annotator's total score. No model of votes, ties
or difficulty is needed. With more than a few tasks, the standardised difference between the total score and
its expected value is approximately normal. The test is one-sided: it detects only agreement that is too low.

If a task has only two rankings, both rankings have the same score. Tasks with two rankings are therefore
compared with each other. An annotator's tasks with two rankings are treated as a random sample, without
replacement, of all such tasks. This comparison is valid only if tasks are assigned regardless of their
difficulty, as Rankloop assigns them.

All annotators are tested. With twenty annotators, it is therefore likely that at least one of them has a
p-value below 0.05 by chance. Base decisions on `adjusted` (Holm's method). With a threshold of 0.05, the
probability that a project has any false positive is then at most 5 %.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.intervals import holm, lower_tail

# Minimum number of informative tasks; with fewer, the normal approximation of the tail is not reliable.
MIN_TASKS = 10


class Outliers(NamedTuple):
    """All arrays have shape (A,). `z` is the standardised difference from the expectation; a negative value
    means too little agreement. `adjusted` is the p-value adjusted by Holm's method for all annotators.
    `n_tasks` is the number of tasks used in the test. If `n_tasks` is below MIN_TASKS, `z`, `p_value` and
    `adjusted` are NaN."""

    z: NDArray[np.float64]
    p_value: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    n_tasks: NDArray[np.int64]


def outliers(
    scores: NDArray[np.float64], tasks: NDArray[np.int64], annotators: NDArray[np.int64], n_annotators: int
) -> Outliers:
    """Test all annotators. `scores` contains the score of each ranking. If a task has only one ranking, the
    ranking's score is NaN, and the ranking is ignored. `tasks` and `annotators` contain integers. All three
    arrays have shape (R,). An annotator has at most one ranking per task."""
    known = ~np.isnan(scores)
    score, annotator = scores[known], annotators[known]
    if len(score) == 0:
        nothing = np.full(n_annotators, np.nan)
        return Outliers(nothing, nothing, nothing, np.zeros(n_annotators, dtype=np.int64))
    _, task = np.unique(tasks[known], return_inverse=True)
    size = np.bincount(task)
    mean = np.bincount(task, weights=score) / size
    variance = np.bincount(task, weights=(score - mean[task]) ** 2) / size
    surprise = score - mean[task]
    # A task in which all scores are equal does not distinguish annotators.
    telling = (size[task] > 2) & (variance[task] > 1e-12)
    n_tasks = np.bincount(annotator, weights=telling, minlength=n_annotators)
    total = np.bincount(annotator, weights=np.where(telling, surprise, 0.0), minlength=n_annotators)
    spread = np.bincount(annotator, weights=np.where(telling, variance[task], 0.0), minlength=n_annotators)
    of_two = size[task] == 2
    n_of_two = int((size == 2).sum())
    if n_of_two > 1:
        pool = mean[size == 2]
        drawn = np.bincount(annotator, weights=of_two, minlength=n_annotators)
        rest = (n_of_two - drawn) / (n_of_two - 1)
        useful = (rest > 0) & (pool.var() > 1e-12)
        away = np.bincount(
            annotator, weights=np.where(of_two, score - pool.mean(), 0.0), minlength=n_annotators
        )
        total += np.where(useful, away, 0.0)
        spread += np.where(useful, drawn * pool.var() * rest, 0.0)
        n_tasks += np.where(useful, drawn, 0)
    enough = (n_tasks >= MIN_TASKS) & (spread > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(enough, total / np.sqrt(spread), np.nan)
    p = lower_tail(z)
    return Outliers(z, p, holm(p), n_tasks.astype(np.int64))
