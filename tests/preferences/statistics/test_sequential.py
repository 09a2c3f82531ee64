"""All intervals of a confidence sequence contain the mean. Clear cases are decided early."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from preferences.statistics.sequential import confidence_sequence


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.9])
def test_interval_contains_the_mean_after_any_number_of_observations(mean: float) -> None:
    """At most 5 % of sequences may ever miss the mean. With 5 %, the probability that 15 or more of 200
    sequences miss the mean is 0.08."""
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(200):
        values = rng.choice([0.0, 1.0], size=60, p=[1 - mean, mean])
        found = [confidence_sequence(values[:n]) for n in (10, 20, 40, 60)]
        missed += any(not one.low <= mean <= one.high for one in found)
    assert missed < 15


def test_interval_never_grows() -> None:
    values = np.random.default_rng(3).choice([0.0, 0.5, 1.0], size=80, p=[0.2, 0.2, 0.6])
    found = [confidence_sequence(values[:n]) for n in range(1, 81, 4)]
    assert all(a.low <= b.low and a.high >= b.high for a, b in itertools.pairwise(found))


def test_clear_cases_are_decided_early_and_balanced_cases_are_not() -> None:
    assert confidence_sequence([1.0] * 15).low > 0.5
    assert confidence_sequence([0.0] * 15).high < 0.5
    even = confidence_sequence([0.0, 1.0] * 50)
    assert even.low < 0.5 < even.high


def test_interval_without_observations_contains_all_values() -> None:
    empty = confidence_sequence([])
    assert (empty.n, empty.low, empty.high) == (0, 0.0, 1.0)


@pytest.mark.parametrize(("values", "level"), [([1.5], 0.95), ([-0.1], 0.95), ([0.5], 1.0)])
def test_values_and_levels_out_of_bounds_are_refused(values: list[float], level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        confidence_sequence(values, level=level)
