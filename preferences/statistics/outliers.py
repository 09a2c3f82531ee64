"""Who agrees less with the others than chance lets one expect. Pure NumPy.

The test. Each ranking has a score: the share of its pairs on which the other rankings of its task say the
same. If all annotators of a task are alike, it is as if the task's rankings had been handed to them at
random: an annotator's score is then any of the task's scores with equal chance. Summed over tasks, the
expected score and its variance under that hypothesis are known exactly, without a model of votes, of ties,
or of how hard a task is; the standardised difference is normal for more than a few tasks. One-sided: only
agreeing too little counts.

Of two rankings of one task neither is nearer to the other. Those tasks are compared with each other instead:
as if the annotator's tasks were a random draw, without putting back, from all tasks with two rankings. That
takes tasks to be dealt without regard to how hard they are, as the allocation does.

Everybody is tested, so somebody is below 0.05 in most projects of twenty: `adjusted` (Holm) is the one to act
on. It is 0.05 or less for anybody innocent in at most 5 % of projects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preferences.statistics.intervals import holm, lower_tail

# Tasks that tell something; below, a normal tail isn't to be trusted.
MIN_TASKS = 10


class Outliers(NamedTuple):
    """(A,) each. `z`: standardised difference to what is expected, negative for less agreement; `p_value` and
    `adjusted` (Holm, over all annotators): NaN below MIN_TASKS tasks. `n_tasks`: tasks the test is from."""

    z: NDArray[np.float64]
    p_value: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    n_tasks: NDArray[np.int64]


def outliers(
    scores: NDArray[np.float64], tasks: NDArray[np.int64], annotators: NDArray[np.int64], n_annotators: int
) -> Outliers:
    """scores: (R,) of each ranking, NaN where it met no other (such rankings are left out); tasks,
    annotators: (R,) integers, nobody having two rankings of one task."""
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
    # A task on which all agree alike says nothing about who the odd one is.
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
