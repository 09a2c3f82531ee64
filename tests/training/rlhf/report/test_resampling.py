"""Confidence intervals that resample whole prompts have correct coverage. Intervals that treat pairs as
independent are too narrow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.rlhf.report.resampling import Estimate, PromptBootstrap, mid_ranks


def names(prompts: np.ndarray) -> list[str]:
    return [f"p{prompt}" for prompt in prompts]


def test_intervals_over_prompts_but_not_over_pairs_have_correct_coverage() -> None:
    """Each of 60 prompts has 8 pairs. The pairs of a prompt are judged either all correctly or all
    incorrectly. About 95% of the intervals must contain the true share.

    If the 480 pairs are treated as independent, the interval is too narrow by a factor of √8. The interval
    then contains the true share only about half of the time.
    """
    rng = np.random.default_rng(4)
    held = naive = 0
    runs = 200
    for _ in range(runs):
        right = np.repeat(rng.random(60) < 0.7, 8).astype(float)
        ranking = np.repeat(np.arange(60), 8)
        found = PromptBootstrap(names(np.arange(60)), samples=400).share(right, ranking)
        assert found.value == pytest.approx(right.mean())
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.7 <= found.high
        error = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / len(right))
        naive += abs(right.mean() - 0.7) <= error
    assert 0.90 <= held / runs <= 0.99
    assert naive / runs < 0.7


def test_interval_of_a_ratio_matches_the_standard_error_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 2.0, size=400)
    ranking = np.arange(400)
    found = PromptBootstrap(names(ranking), samples=4000).ratio(values, np.full(400, 2.0), ranking)
    assert found.value == pytest.approx(values.mean() / 2)
    assert found.low is not None
    assert found.high is not None
    error = values.std(ddof=1) / np.sqrt(400) / 2
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.06)


def test_standard_error_is_correct_with_more_prompts_than_groups() -> None:
    rng = np.random.default_rng(1)
    prompts = np.arange(6000)
    values = rng.normal(size=6000)
    found = PromptBootstrap(names(prompts), samples=4000).mean(values, prompts)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(6000), rel=0.08)


@pytest.mark.parametrize(("hits", "outcome"), [(np.ones(9), 9), (np.zeros(9), 0)])
def test_wilson_interval_over_prompts_is_used_if_all_values_are_equal(hits: np.ndarray, outcome: int) -> None:
    ranking = np.arange(9)
    found = PromptBootstrap(names(ranking)).share(hits, ranking)
    wilson = stats.binomtest(outcome, 9).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-6)


def test_single_prompt_has_no_interval_and_empty_data_has_no_estimate() -> None:
    alone = PromptBootstrap(["p", "p"])
    assert alone.mean([0.0, 1.0], np.array([0, 1])) == Estimate(0.5, None, None)
    assert alone.share([], np.array([], dtype=np.int64)) == Estimate.nothing()
    assert PromptBootstrap([]).mean([], np.array([], dtype=np.int64)) == Estimate.nothing()


def test_spearman_matches_scipy_and_is_none_for_constant_values() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 12, size=300).astype(float)  # with many equal values
    y = x + rng.normal(0, 4, size=300)
    ranking = np.arange(300)
    boot = PromptBootstrap(names(ranking), samples=2000)
    found = boot.rank_correlation(x, y, ranking)
    assert found.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.low is not None
    assert found.high is not None
    # For Spearman's ρ, the standard error of Fisher's z is about 1.03/√(n − 3).
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * 1.03 * (1 - (found.value or 0) ** 2) / np.sqrt(297), rel=0.2
    )
    assert boot.rank_correlation(np.ones(300), y, ranking) == Estimate.nothing()
    assert mid_ranks(x) == pytest.approx(stats.rankdata(x))


def test_same_seed_gives_the_same_interval() -> None:
    values, ranking = np.arange(50.0), np.arange(50)
    first, again, other = (
        PromptBootstrap(names(ranking), seed=seed).mean(values, ranking) for seed in (3, 3, 4)
    )
    assert first == again != other
