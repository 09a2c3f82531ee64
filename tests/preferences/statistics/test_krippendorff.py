from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from numpy.typing import NDArray

from preferences.statistics.krippendorff import Metric, alpha, alpha_of_pairs, pair_counts
from preferences.statistics.pairs import rankings_that_meet, verdicts_of
from tests.preferences.statistics.helpers import alpha_of_matrix

METRICS: tuple[Metric, ...] = ("nominal", "ordinal", "interval")

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units.
_ = np.nan
EXAMPLE_C = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
)


@pytest.mark.parametrize(
    ("metric", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_matches_the_published_example(metric: Metric, published: float) -> None:
    found = alpha_of_matrix(EXAMPLE_C, metric=metric)
    assert round(found.alpha, 3) == published
    assert (found.n_units, found.n_values) == (11, 40)  # the unit with a single value is left out


def _matrix(seed: int, raters: int, units: int, values: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, values, units)
    noise = rng.integers(0, values, (raters, units))
    said = np.where(rng.random((raters, units)) < 0.6, truth, noise).astype(float) * 1.5 - 2
    said[rng.random((raters, units)) < 0.35] = np.nan
    return said


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("raters", "units", "values"), [(2, 30, 2), (5, 60, 3), (4, 40, 12), (6, 80, 40)])
def test_alpha_matches_the_krippendorff_package(metric: Metric, raters: int, units: int, values: int) -> None:
    for seed in range(5):
        said = _matrix(seed, raters, units, values)
        known = krippendorff.alpha(reliability_data=said, level_of_measurement=metric)
        assert alpha_of_matrix(said, metric=metric).alpha == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_bootstrap_samples_equal_the_estimate_if_all_units_are_equal(metric: Metric) -> None:
    """The bootstrap and the estimate use the same formula, so with equal units, every bootstrap sample equals
    the estimate. The test uses both few and many distinct values, because α is computed differently for many
    values."""
    for values in ([1, 1, 2], [1, 5, 9], np.linspace(0, 1, 20)):
        units = np.repeat(np.arange(40), len(values))
        found = alpha(units, np.tile(values, 40), metric=metric, samples=20)
        assert found.low == pytest.approx(found.alpha, abs=1e-9)
        assert found.high == pytest.approx(found.alpha, abs=1e-9)


def test_intervals_have_their_nominal_coverage() -> None:
    """The true value is taken to be α of a very large sample from the same annotators."""

    def said(seed: int, units: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rng = np.random.default_rng(seed)
        truth = np.repeat(rng.integers(0, 3, units), 3)
        return np.repeat(np.arange(units), 3), np.where(
            rng.random(3 * units) < 0.7, truth, rng.integers(0, 3, 3 * units)
        )

    for metric in METRICS:
        truth = alpha(*said(10_000, 200_000), metric=metric).alpha
        found = [alpha(*said(seed, 150), metric=metric, samples=300, seed=seed + 1000) for seed in range(200)]
        held = np.mean([one.low <= truth <= one.high for one in found])
        # The nominal coverage of the 200 intervals is 95 %; three standard deviations are 4.6 percentage
        # points.
        assert 0.9 <= held <= 0.996


def test_pairs_of_one_task_are_resampled_together() -> None:
    """Copies of an observation add no information. The test puts ten copies of each pair into the pair's
    task. If tasks are resampled, the width of the interval doesn't change. If copies are treated as
    independent, the interval is narrower by a factor of √10."""
    rng = np.random.default_rng(0)
    counts = rng.multinomial(3, [0.2, 0.1, 0.7], size=300)
    alone = alpha_of_pairs(counts, np.arange(300), metric="nominal", samples=1000)
    copied = np.repeat(counts, 10, axis=0)
    together = alpha_of_pairs(copied, np.repeat(np.arange(300), 10), metric="nominal", samples=1000)
    independent = alpha_of_pairs(copied, np.arange(3000), metric="nominal", samples=1000)
    width = alone.high - alone.low
    assert together.high - together.low == pytest.approx(width, rel=0.1)
    assert independent.high - independent.low == pytest.approx(width / np.sqrt(10), rel=0.15)


def test_grouping_many_clusters_does_not_change_the_interval() -> None:
    """With more than 1,000 tasks, groups of tasks are resampled. For 4,000 tasks, the interval is as wide as
    if the tasks were resampled one by one."""
    rng = np.random.default_rng(1)
    units = np.repeat(np.arange(4000), 3)
    values = np.where(
        rng.random(12_000) < 0.7, np.repeat(rng.integers(0, 5, 4000), 3), rng.integers(0, 5, 12_000)
    )
    grouped = alpha(units, values, metric="interval", samples=1000)
    draws = []
    for _ in range(200):
        drawn = rng.integers(0, 4000, 4000)
        draws.append(
            alpha(
                np.repeat(np.arange(4000), 3), values.reshape(4000, 3)[drawn].ravel(), metric="interval"
            ).alpha
        )
    low, high = np.quantile(draws, [0.025, 0.975])
    assert grouped.high - grouped.low == pytest.approx(high - low, rel=0.25)
    assert grouped.low == pytest.approx(low, abs=0.006)


def test_alpha_does_not_depend_on_the_order_of_responses() -> None:
    rng = np.random.default_rng(2)
    counts = rng.multinomial(4, [0.15, 0.15, 0.7], size=200)
    turned = np.where(rng.random((200, 1)) < 0.5, counts[:, ::-1], counts)
    for metric in METRICS:
        one = alpha_of_pairs(counts, np.arange(200), metric=metric, samples=50)
        two = alpha_of_pairs(turned, np.arange(200), metric=metric, samples=50)
        assert one == pytest.approx(two)


def test_alpha_of_pairs_counts_each_pair_in_both_directions() -> None:
    rng = np.random.default_rng(3)
    said = rng.integers(-1, 2, (5, 40)).astype(float)
    said[rng.random(said.shape) < 0.3] = np.nan
    counts = np.stack([(said == value).sum(0) for value in (-1, 0, 1)], axis=1)
    for metric in METRICS:
        known = krippendorff.alpha(
            reliability_data=np.concatenate([said, -said], axis=1), level_of_measurement=metric
        )
        assert alpha_of_pairs(counts, np.arange(40), metric=metric).alpha == pytest.approx(known)


def test_pair_counts_contain_the_verdicts_on_each_pair() -> None:
    places = np.array([[0, 1, 2], [0, 0, 1], [2, 1, 0], [0, 127, 127]], dtype=np.int8)
    counts = pair_counts(verdicts_of(places), np.array([1, 1, 0, 1]), 2)
    np.testing.assert_array_equal(counts, [[1, 0, 0], [1, 0, 0], [1, 0, 0], [0, 1, 2], [0, 0, 3], [0, 0, 2]])
    first, second = rankings_that_meet(np.array([1, 1, 0, 1]))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 3)]


def test_undefined_alpha_is_nan() -> None:
    for units, values in (([], []), ([0, 1], [1, 2]), ([0, 0, 1, 1], [3, 3, 3, 3])):
        for metric in METRICS:
            assert np.isnan(alpha(units, values, metric=metric, samples=10)[:3]).all()
    assert np.isnan(alpha_of_pairs(np.zeros((0, 3)), np.zeros(0), metric="nominal", samples=10).alpha)


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(ValueError, match="each"):
        alpha([0, 0], [1], metric="nominal")
    with pytest.raises(ValueError, match="finite"):
        alpha([0, 0], [1, np.nan], metric="nominal")
    with pytest.raises(ValueError, match="metric"):
        alpha([0, 0], [1, 2], metric="cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="counts"):
        alpha_of_pairs([[1, 2]], [0], metric="nominal")
