"""Rankings of tasks with two or more named annotators, and their agreement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.oversight.quality.estimates import (
    SAMPLES,
    Estimate,
)
from annotation.oversight.ranking_arrays import (
    UNKNOWN,
    Block,
    RankingArrays,
)
from preferences.statistics.agreement import (
    Meetings,
    join_meetings,
    meetings_of,
)
from preferences.statistics.krippendorff import Metric, alpha_of_pairs, pair_counts
from preferences.statistics.pairs import NO_VERDICT, UNRANKED, rankings_that_meet, verdicts_of
from preferences.statistics.rank_correlation import kendall_w_by_task
from preferences.statistics.reliability import Reliability, pair_reliability


@dataclass(frozen=True)
class SharedTasks:
    """Rankings by the given annotators, in one block for each number of responses K. Includes only
    tasks that at least two of these annotators have ranked."""

    blocks: list[Block]
    verdicts: list[NDArray[np.int8]]
    task: NDArray[np.int64]
    person: NDArray[np.int64]
    given_at: NDArray[np.int64]
    met: Meetings

    @classmethod
    def of(cls, read: RankingArrays) -> SharedTasks:
        blocks, verdicts, met, at = [], [], [], 0
        for block in read.blocks:
            named = block.where(block.person != UNKNOWN)
            kept = named.where(np.bincount(named.task, minlength=read.n_tasks)[named.task] > 1)
            if len(kept) == 0:
                continue
            said = verdicts_of(kept.places)
            here = meetings_of(said, *rankings_that_meet(kept.task))
            met.append(here._replace(first=here.first + at, second=here.second + at))
            at += len(kept)
            blocks.append(kept)
            verdicts.append(said)
        return cls(
            blocks=blocks,
            verdicts=verdicts,
            task=joined([block.task for block in blocks]),
            person=joined([block.person for block in blocks]),
            given_at=joined([block.given_at for block in blocks]),
            met=join_meetings(met),
        )

    def alpha(self, metric: Metric) -> Estimate:
        counts, clusters = self._counts
        return Estimate.of_alpha(alpha_of_pairs(counts, clusters, metric=metric, samples=SAMPLES))

    @cached_property
    def _counts(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Returns two arrays. The first contains the verdict counts for each pair of responses, with shape
        (U, 3). The second contains each pair's task, with shape (U,)."""
        counts, clusters = [np.zeros((0, 3))], [np.zeros(0, dtype=np.int64)]
        for block, said in zip(self.blocks, self.verdicts, strict=True):
            tasks, number = np.unique(block.task, return_inverse=True)
            counts.append(pair_counts(said, number, len(tasks)))
            clusters.append(np.repeat(tasks, said.shape[1]))
        return np.concatenate(counts), np.concatenate(clusters)

    def concordance(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Kendall's W for each task, and the number that identifies the task. Rankings without an order are
        excluded."""
        values, tasks = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        for block in self.blocks:
            ranked = block.where((block.places != UNRANKED).any(1))
            numbers, number = np.unique(ranked.task, return_inverse=True)
            values.append(kendall_w_by_task(ranked.places, number, len(numbers)))
            tasks.append(numbers)
        return np.concatenate(values), np.concatenate(tasks)

    def reliability(self, n_annotators: int) -> Reliability:
        parts: list[list[NDArray[np.int64]]] = [[], [], [], []]
        n_pairs = 0
        for block, said in zip(self.blocks, self.verdicts, strict=True):
            tasks, number = np.unique(block.task, return_inverse=True)
            strict = (said != 0) & (said != NO_VERDICT)
            row, column = np.nonzero(strict)
            pair = n_pairs + number[row] * said.shape[1] + column
            for part, values in zip(
                parts, (pair, block.person[row], said[strict], block.task[row]), strict=True
            ):
                part.append(values.astype(np.int64))
            n_pairs += len(tasks) * said.shape[1]
        pair, person, verdict, task = (joined(part) for part in parts)
        return pair_reliability(
            pair, person, verdict, n_pairs=n_pairs, n_annotators=n_annotators, clusters=task
        )


def joined(columns: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=np.int64), *columns])
