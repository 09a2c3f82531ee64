from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from preferences.statistics.intervals import (
    clustered_share,
    clustered_shares,
    holm,
    lower_tail,
    percentiles,
    resampled_totals,
    wilson,
)


@pytest.mark.parametrize(("won", "n"), [(0, 5), (3, 10), (10, 10), (487, 1000)])
def test_wilson_interval_matches_scipy(won: int, n: int) -> None:
    known = binomtest(won, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(won / n, n), (known.low, known.high), atol=1e-12)


def test_interval_for_clusters_of_one_trial_is_the_plain_wilson_interval() -> None:
    won = (np.random.default_rng(0).random(300) < 0.3).astype(int)
    interval, n = clustered_share(won, np.ones(300, dtype=int))
    known = binomtest(int(won.sum()), 300).proportion_ci(method="wilson")
    assert n == 300
    np.testing.assert_allclose(interval, (won.mean(), known.low, known.high), atol=1e-12)


def test_fully_dependent_observations_count_as_one_observation() -> None:
    """Six pairs that always agree count as one observation; six independent pairs count as six."""
    rng = np.random.default_rng(1)
    once = rng.random(400) < 0.5
    together, _ = clustered_share(once * 6, np.full(400, 6))
    single, _ = clustered_share(once, np.ones(400))
    np.testing.assert_allclose(together, single, atol=1e-12)
    independent, _ = clustered_share(rng.binomial(6, 0.5, 400), np.full(400, 6))
    assert independent.high - independent.low < 0.55 * (together.high - together.low)


def test_clustered_intervals_have_their_nominal_coverage() -> None:
    held = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        tried = rng.integers(1, 11, 60)
        leaning = rng.beta(2, 3, 60)  # each cluster has its own share; the mean share is 0.4
        interval, _ = clustered_share(rng.binomial(tried, leaning), tried)
        held.append(interval.low <= 0.4 <= interval.high)
    assert 0.915 <= np.mean(held) <= 0.985  # three standard deviations are 3.3 percentage points


def test_groups_are_independent_and_the_share_of_an_empty_group_is_nan() -> None:
    found = clustered_shares([1, 2, 0], [2, 2, 1], [0, 0, 2], 3)
    np.testing.assert_allclose(found.share, [0.75, np.nan, 0.0])
    np.testing.assert_array_equal(found.n, [4, 0, 1])
    np.testing.assert_array_equal(np.isnan(found.low), [False, True, False])
    for wrong in (([2], [1], [0]), ([-1], [1], [0]), ([0], [1], [3])):
        with pytest.raises(ValueError, match="`successes`"):
            clustered_shares(*wrong, 3)
    with pytest.raises(ValueError, match="each"):
        clustered_shares([1], [1, 2], [0, 0], 1)


@pytest.mark.parametrize("clusters", [40, 5000])
def test_resampled_totals_have_the_mean_and_spread_of_the_clusters(clusters: int) -> None:
    rng = np.random.default_rng(2)
    cluster = np.repeat(np.arange(clusters), 3)
    rows = rng.normal(1, 1, (len(cluster), 2))
    drawn = resampled_totals(rows, cluster, samples=4000, seed=0)
    by_cluster = rows.reshape(clusters, 3, 2).sum(1)
    np.testing.assert_allclose(drawn.mean(0), rows.sum(0), rtol=0.02)
    np.testing.assert_allclose(drawn.std(0), np.sqrt(clusters) * by_cluster.std(0), rtol=0.12)
    np.testing.assert_array_equal(drawn, resampled_totals(rows, cluster, samples=4000, seed=0))


def test_percentiles_ignore_undefined_samples() -> None:
    samples = np.append(np.linspace(0, 1, 101), np.nan)
    np.testing.assert_allclose(percentiles(samples), (0.025, 0.975))
    assert np.isnan(percentiles(np.full(5, np.nan))).all()


def test_normal_tail_and_holm_correction_match_references() -> None:
    z = np.array([-3.0, 0.0, 1.5])
    np.testing.assert_allclose(lower_tail(z), norm.cdf(z), atol=1e-15)
    # Holm by hand: 0.01·3, then max(0.03, 0.04·2), then max(0.08, 0.05·1).
    np.testing.assert_allclose(holm([0.04, 0.01, np.nan, 0.05]), [0.08, 0.03, np.nan, 0.08])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1.0, 1.0])
