"""The cost of computing agreement and reliability is limited for tasks with very many rankings."""

from __future__ import annotations

import numpy as np
import pytest

from preferences.statistics import reliability
from preferences.statistics.agreement import by_ranking, meetings_of
from preferences.statistics.pairs import rankings_that_meet
from preferences.statistics.reliability import pair_reliability
from tests.preferences.statistics.crowds import chance_crowd


def test_each_pair_of_rankings_of_a_small_task_is_compared_once() -> None:
    tasks = np.random.default_rng(0).integers(0, 9, 60)
    first, second = rankings_that_meet(tasks)
    assert (tasks[first] == tasks[second]).all()
    met = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(met) == len(first) == sum(n * (n - 1) // 2 for n in np.bincount(tasks))
    assert [part.tolist() for part in rankings_that_meet(np.zeros(0, dtype=np.int64))] == [[], []]


def test_every_ranking_of_a_large_task_has_the_same_number_of_comparisons() -> None:
    tasks = np.repeat([0, 1, 2], [40, 11, 3])
    np.random.default_rng(0).shuffle(tasks)
    first, second = rankings_that_meet(tasks, most=5)
    assert (tasks[first] == tasks[second]).all()
    met = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(met) == len(first)
    times = np.bincount(np.concatenate([first, second]), minlength=len(tasks))
    # In the task with eleven rankings, each ranking is compared with all ten others.
    assert [set(times[tasks == task].tolist()) for task in range(3)] == [{10}, {10}, {2}]


def test_agreement_in_a_large_task_is_estimated_from_some_of_the_comparisons() -> None:
    rng = np.random.default_rng(1)
    verdicts = rng.choice(np.array([-1, 0, 1], dtype=np.int8), (2000, 3), p=[0.2, 0.1, 0.7])
    tasks = np.zeros(2000, dtype=np.int64)
    met = meetings_of(verdicts, *rankings_that_meet(tasks))
    assert len(met.first) == 2000 * 50
    same, shared = by_ranking(met, 2000)
    # In all 1,999,000 comparisons together, the share of equal verdicts is exactly Σ n(n − 1) / N(N − 1).
    counts = np.stack([(verdicts == said).sum(0) for said in (-1, 0, 1)])
    exact = (counts * (counts - 1)).sum(0) / (2000 * 1999)
    assert same.sum() / shared.sum() == pytest.approx(exact.mean(), abs=0.01)


def test_intervals_do_not_depend_on_the_method_of_summation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs with many verdicts are summed as a matrix product, in chunks of limited size."""
    found = []
    for people, tasks, overlap in ((30, 20, 20), (8, 30, 3)):
        pair, who, y, task = chance_crowd(4, people, tasks, overlap, right=0.7)
        kept = (pair % 6 > 3) | (who % 3 == 0)  # the number of verdicts differs between pairs
        for cells in (reliability.CHUNK_CELLS, 100):
            monkeypatch.setattr(reliability, "CHUNK_CELLS", cells)
            found.append(
                pair_reliability(
                    pair[kept],
                    who[kept],
                    y[kept],
                    n_pairs=tasks * 6,
                    n_annotators=people,
                    clusters=task[kept],
                )
            )
            monkeypatch.undo()
        np.testing.assert_allclose(found[-1].low, found[-2].low, rtol=1e-9)
    pair = np.array([0, 0, 0, 2, 2, 5, 5, 5, 5])
    who, weight = np.array([0, 1, 2, 0, 1, 3, 3, 1, 0]), np.arange(1.0, 10.0)
    known = np.zeros((4, 4))
    for i in range(9):
        for j in range(9):
            if i != j and pair[i] == pair[j]:
                known[who[i], who[j]] += weight[i] * weight[j]
    np.testing.assert_allclose(reliability._together(pair, who, weight, 4), known)
