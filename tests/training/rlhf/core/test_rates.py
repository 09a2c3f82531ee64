"""A run's peak learning rate depends on the model size, and its learning rate follows the schedule."""

from __future__ import annotations

import pytest
from torch import nn

from training.rlhf.core.rates import rate_factor, rate_for


def model(weights: int) -> nn.Module:
    return nn.Linear(weights, 1, bias=False, device="meta")  # parameters on the meta device use no memory


def test_learning_rate_depends_on_size_only_between_two_reference_sizes() -> None:
    def rate(weights: int) -> float:
        return rate_for(model(weights), at_2m=4e-4, at_1b=1e-6)

    assert rate(2_000_000) == pytest.approx(4e-4)
    assert rate(1_000_000_000) == pytest.approx(1e-6)
    assert rate(44_721_360) == pytest.approx(2e-5)  # the midpoint on logarithmic scales
    assert rate(1_000) == pytest.approx(4e-4)
    assert rate(8_000_000_000) == pytest.approx(1e-6)


def test_learning_rate_warms_up_to_its_peak_and_decays_to_zero() -> None:
    linear = [rate_factor("linear", done, 10, warmup=4) for done in range(11)]
    assert linear[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert linear[7] == pytest.approx(0.5)
    assert linear[10] == 0.0
    cosine = [rate_factor("cosine", done, 10) for done in (0, 5, 10)]
    assert cosine == pytest.approx([1.0, 0.5, 0.0])
    assert {rate_factor("constant", done, 10) for done in range(10)} == {1.0}
