"""Convert rankings to verdicts on pairs of responses, as arrays. Pure NumPy.

Rankings are *places*: (R, K) integers. A row belongs to a ranking and contains the place of each of the K
responses in the ranking's task. The responses are in the same order in all rankings of a task. Place 0 is
best, and responses with equal places are tied. UNRANKED is below all other places; unranked responses have no
order among themselves. Responses are matched by identity, never by their position on the page or in a
ranking. If the k-th entries of two lists were compared instead, agreement figures would be meaningless.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

UNRANKED = 127
# Marks a pair on which a ranking gives no verdict.
NO_VERDICT = 2
# The default of `most` in `rankings_that_meet`. Comparing 100,000 rankings of a hundred tasks then takes less
# than 1 GB of memory.
MOST_MET = 50


@cache
def pair_columns(k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices (i, j) of the K(K−1)/2 pairs, with i < j."""
    first, second = np.triu_indices(k, 1)
    return first.astype(np.int64), second.astype(np.int64)


def verdicts_of(places: NDArray[np.int8]) -> NDArray[np.int8]:
    """Convert (R, K) places to (R, K(K−1)/2) verdicts on the pairs of `pair_columns`. A verdict is 1 if the
    first response is preferred, −1 if the second response is preferred, and 0 for a tie. If both responses
    are unranked, the verdict is NO_VERDICT."""
    places = np.asarray(places)
    if places.ndim != 2:
        raise ValueError(f"`places` must have shape (R, K); its shape is {places.shape}.")
    first, second = pair_columns(places.shape[1])
    one, two = places[:, first], places[:, second]
    verdict: NDArray[np.int8] = (one < two).astype(np.int8) - (one > two).astype(np.int8)
    verdict[(one == UNRANKED) & (two == UNRANKED)] = NO_VERDICT
    return verdict


def rankings_that_meet(
    tasks: NDArray[np.int64], most: int = MOST_MET
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices (a, b) of every pair of rankings of the same task, each pair once. `tasks` has shape
    (R,) and contains the task of each ranking.

    A task with n rankings has n(n − 1)/2 pairs, which would be too many for thousands of rankings. If a task
    has more than 2·`most` + 1 rankings, each of them is therefore paired with only 2·`most` others: the
    `most` rankings before it and the `most` rankings after it, in circular order.
    """
    order = np.argsort(tasks, kind="stable").astype(np.int64)
    ordered = tasks[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    sizes = np.diff(np.r_[starts, len(ordered)])
    size, start = np.repeat(sizes, sizes), np.repeat(starts, sizes)
    place = np.arange(len(ordered)) - start
    circular = size > 2 * most + 1
    here = np.arange(len(ordered))
    firsts, seconds = [order[:0]], [order[:0]]
    step = 1
    while len(here := here[(place[here] + step < size[here]) | circular[here]]):
        if step > most and len(here := here[~circular[here]]) == 0:
            break
        firsts.append(order[here])
        seconds.append(order[start[here] + (place[here] + step) % size[here]])
        step += 1
    return np.concatenate(firsts), np.concatenate(seconds)


def gold_scores(gold: NDArray[np.int8], places: NDArray[np.int8]) -> NDArray[np.float64]:
    """Compute `preferences.scoring.gold_score` for many rankings at once.

    `gold` and `places` have shape (R, K). The result has shape (R,) and contains the share of strict pairs in
    `gold` that have the same order in `places`. A pair counts as ½ if `places` ties it or leaves both
    responses unranked. The share is 0 if nothing is ranked, and NaN if `gold` has no strict pair.
    """
    truth, said = verdicts_of(gold), verdicts_of(places)
    asked = (truth == 1) | (truth == -1)
    undecided = (said == 0) | (said == NO_VERDICT)
    points = (asked & (said == truth)).sum(1) + 0.5 * (asked & undecided).sum(1)
    points[(np.asarray(places) == UNRANKED).all(1)] = 0.0
    pairs = asked.sum(1)
    scores: NDArray[np.float64] = np.full(len(points), np.nan)
    np.divide(points, pairs, out=scores, where=pairs > 0)
    return scores
