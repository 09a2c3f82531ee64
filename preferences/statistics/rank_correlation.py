"""Kendall's W: the agreement among whole rankings, with ties. Pure NumPy. For τ-b between two rankings, see
`agreement`.

The input consists of places (or other scores) of the same responses. All rankings must list the responses in
the same order. Lists of IDs in ranked order are therefore not valid input; see `pairs`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.intervals import sum_by


def mid_ranks(places: ArrayLike) -> NDArray[np.float64]:
    """Convert (R, K) places to ranks 1…K. Tied responses get the mean of their ranks."""
    place = np.asarray(places)
    lower = (place[:, None, :] < place[:, :, None]).sum(-1)
    equal = (place[:, None, :] == place[:, :, None]).sum(-1)
    ranks: NDArray[np.float64] = lower + (equal + 1) / 2
    return ranks


def kendall_w_by_task(places: ArrayLike, tasks: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Concordance W of each task's rankings, corrected for ties (Kendall, "Rank Correlation Methods", 1948,
    §6):

    W = (12 Σ R_i² − 3 m² K (K+1)²) / (m² K (K²−1) − m Σ_j Σ_ties (t³ − t)). R_i is the sum of response i's
    ranks, and m is the number of rankings. The index j runs over the rankings, and t is the size of a tie.

    `places` has shape (R, K). `tasks` contains task numbers 0…n_tasks−1 and has shape (R,). Returns W with
    shape (n_tasks,). W is 1 for identical orders, and 0 if all responses have the same mean rank. If a task
    has fewer than two rankings, or if every ranking ties all responses, W is NaN.
    """
    ranks = mid_ranks(places)
    k = ranks.shape[1]
    equal = (ranks[:, None, :] == ranks[:, :, None]).sum(-1)
    # Σ_ties (t³ − t) equals Σ_i (t_i² − 1), where t_i is the size of the tie that contains response i.
    ties = (equal**2 - 1).sum(1)
    sums = sum_by(tasks, np.concatenate([ranks, ties[:, None], np.ones((len(ranks), 1))], axis=1), n_tasks)
    total, tied, m = sums[:, :k], sums[:, k], sums[:, k + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        above = 12 * (total**2).sum(1) - 3 * m**2 * k * (k + 1) ** 2
        below = m**2 * k * (k**2 - 1) - m * tied
        found = np.where((m > 1) & (below > 0), above / below, np.nan)
    return np.asarray(found)
