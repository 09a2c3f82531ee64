from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preferences.statistics.agreement import by_ranking, meetings_of
from preferences.statistics.outliers import MIN_TASKS, outliers
from preferences.statistics.pairs import rankings_that_meet, verdicts_of


def _project(
    seed: int, noise: NDArray[np.float64], tasks: int, overlap: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Simulate the score, task and annotator of each ranking. Tasks differ in the quality gaps between
    responses."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=(tasks, 4)) * rng.uniform(0.2, 3, (tasks, 1))
    who = np.argsort(rng.random((tasks, len(noise))), axis=1)[:, :overlap]
    seen = quality[:, None, :] + rng.normal(size=(tasks, overlap, 4)) * noise[who][:, :, None]
    places = np.argsort(np.argsort(-seen, axis=2), axis=2).reshape(-1, 4).astype(np.int8)
    task = np.repeat(np.arange(tasks), overlap)
    same, shared = by_ranking(meetings_of(verdicts_of(places), *rankings_that_meet(task)), len(task))
    return same / shared, task, who.ravel()


@pytest.mark.parametrize("overlap", [2, 3, 5])
def test_false_positives_stay_within_the_significance_level(overlap: int) -> None:
    p_values, false_alarms = [], 0
    for seed in range(150):
        found = outliers(*_project(seed, np.full(8, 0.7), 60, overlap), 8)
        p_values += found.p_value.tolist()
        false_alarms += bool((found.adjusted < 0.05).any())
    assert np.mean(np.array(p_values) < 0.05) < 0.07
    assert np.mean(np.array(p_values) < 0.5) == pytest.approx(0.5, abs=0.06)
    assert false_alarms <= 15  # 5 % of 150 projects is 7.5; adding 2.5 standard deviations gives 14.2


@pytest.mark.parametrize("overlap", [2, 3, 5])
def test_only_the_guesser_is_an_outlier(overlap: int) -> None:
    noise = np.full(8, 0.7)
    noise[3] = 100.0
    found = outliers(*_project(1, noise, 400, overlap), 8)
    assert found.adjusted[3] < 1e-6
    assert (np.delete(found.adjusted, 3) > 0.05).all()


def test_z_scores_match_random_reassignment_of_scores() -> None:
    """The expected z-scores use the mean and standard deviation over 4,000 random reassignments of each
    task's scores to its annotators."""
    score, task, who = _project(2, np.array([0.3, 0.5, 0.7, 1.0, 2.0]), 40, 3)
    found = outliers(score, task, who, 5)
    rng = np.random.default_rng(0)
    sums = []
    for _ in range(4000):
        shuffled = np.argsort(rng.random((40, 3)), axis=1) + np.arange(40)[:, None] * 3
        sums.append(np.bincount(who, weights=score[shuffled.ravel()], minlength=5))
    z = (np.bincount(who, weights=score, minlength=5) - np.mean(sums, 0)) / np.std(sums, 0)
    np.testing.assert_allclose(found.z, z, atol=0.12)


def test_annotators_with_too_few_tasks_are_not_tested() -> None:
    score, task, who = _project(3, np.full(4, 0.7), MIN_TASKS - 1, 3)
    assert np.isnan(outliers(score, task, who, 4).p_value).all()
    none = outliers(np.array([np.nan]), np.array([0]), np.array([0]), 2)
    assert np.isnan(none.adjusted).all()
    # All annotators agree on every task, so the scores don't differ.
    alike = outliers(np.ones(90), np.repeat(np.arange(30), 3), np.tile(np.arange(3), 30), 3)
    assert np.isnan(alike.p_value).all()
