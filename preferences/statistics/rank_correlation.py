"""Kendall's W: the agreement among whole rankings, with ties. Pure NumPy. (For τ-b between two rankings, see
`agreement`.)

The input consists of places (or other scores) of the same responses, with the responses in the same order for
all rankings. Lists of IDs in ranked order are not valid input, because entries at the same position would be
different responses; see `pairs`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preferences.statistics.intervals import sum_by


def mid_ranks(places: ArrayLike) -> NDArray[np.float64]:
    """Convert (R, K) places to ranks 1…K; tied places get their mean rank."""
    place = np.asarray(places)
    lower = (place[:, None, :] < place[:, :, None]).sum(-1)
    equal = (place[:, None, :] == place[:, :, None]).sum(-1)
    ranks: NDArray[np.float64] = lower + (equal + 1) / 2
    return ranks


def kendall_w_by_task(places: ArrayLike, tasks: NDArray[np.int64], n_tasks: int) -> NDArray[np.float64]:
    """Concordance W of each task's rankings, corrected for ties; Kendall, "Rank Correlation Methods" (1948)
    §6:

    W = (12 Σ R_i² − 3 m² K (K+1)²) / (m² K (K²−1) − m Σ_j Σ_ties (t³ − t)), where R_i is the sum of the ranks
    of i.

    `places` has shape (R, K), and `tasks` contains task numbers 0…n_tasks−1, with shape (R,). Returns W
    with shape (n_tasks,): 1 for identical orders, 0 if there is no common order, and NaN if there are fewer
    than two rankings or every ranking ties all responses.
    """
    ranks = mid_ranks(places)
    k = ranks.shape[1]
    equal = (ranks[:, None, :] == ranks[:, :, None]).sum(-1)
    # Σ_ties (t³ − t) = Σ_i (t_i² − 1), where t_i is the size of the tie that contains i.
    ties = (equal**2 - 1).sum(1)
    sums = sum_by(tasks, np.concatenate([ranks, ties[:, None], np.ones((len(ranks), 1))], axis=1), n_tasks)
    total, tied, m = sums[:, :k], sums[:, k], sums[:, k + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        above = 12 * (total**2).sum(1) - 3 * m**2 * k * (k + 1) ** 2
        below = m**2 * k * (k**2 - 1) - m * tied
        found = np.where((m > 1) & (below > 0), above / below, np.nan)
    return np.asarray(found)
