"""Truncated importance weights are compared with closed forms in fp64."""

from __future__ import annotations

import math

import pytest
import torch

from training.rlhf.objectives.importance import answer_sums, sampler_gap, truncated_weights

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
Q = torch.tensor([0.25, 0.25, 0.25, 0.25], dtype=torch.float64)
GAIN = torch.tensor([3.0, -1.0, 0.5, 2.0], dtype=torch.float64)


def test_importance_weighted_mean_over_the_sampler_is_the_mean_over_the_policy() -> None:
    weights = truncated_weights(P.log(), Q.log(), cap=10.0)
    assert float((Q * weights * GAIN).sum()) == pytest.approx(float((P * GAIN).sum()), abs=1e-15)


def test_importance_weight_is_capped() -> None:
    weights = truncated_weights(P.log(), Q.log(), cap=1.2)
    assert weights.tolist() == pytest.approx([0.4, 0.8, 1.2, 1.2], abs=1e-15)


def test_importance_weighted_policy_gradient_equals_the_exact_gradient() -> None:
    # d/dθ Σ softmax(θ)·gain, exactly and as a weighted mean over the sampler's tokens.
    theta = P.log().clone().requires_grad_(True)
    [exact] = torch.autograd.grad((torch.softmax(theta, 0) * GAIN).sum(), theta)
    log_probs = torch.log_softmax(theta, 0)
    weights = truncated_weights(log_probs, Q.log(), cap=10.0)
    assert not weights.requires_grad
    [found] = torch.autograd.grad((Q * weights * GAIN * log_probs).sum(), theta)
    torch.testing.assert_close(found, exact, atol=1e-15, rtol=0)


def test_token_that_the_policy_never_samples_has_a_weight_of_zero() -> None:
    weights = truncated_weights(torch.tensor([-9999.0, 0.0]), torch.tensor([0.0, -9999.0]), cap=2.0)
    assert weights.tolist() == [0.0, 2.0]


def test_gap_between_sampler_and_policy_matches_the_formulas() -> None:
    found = sampler_gap(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-1.1, -2.0, -2.6]))
    k3 = [math.exp(0.1) - 1 - 0.1, 0.0, math.exp(-0.4) - 1 + 0.4]
    assert found["sampler/gap_mean"] == pytest.approx(0.5 / 3, rel=1e-5)
    assert found["sampler/gap_max"] == pytest.approx(0.4, rel=1e-5)
    assert found["sampler/kl"] == pytest.approx(sum(k3) / 3, rel=1e-4)


def test_mean_of_the_kl_estimate_is_the_kl_of_the_sampler_from_the_policy() -> None:
    # A weighted mean over the four tokens is an exact mean over the sampler's distribution.
    each = [sampler_gap(p[None], q[None])["sampler/kl"] for p, q in zip(P.log(), Q.log(), strict=True)]
    exact = float((Q * (Q / P).log()).sum())
    assert float((Q * torch.tensor(each, dtype=torch.float64)).sum()) == pytest.approx(exact, abs=1e-12)


def test_token_values_are_summed_per_answer_for_answers_of_any_length() -> None:
    values, lengths = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), torch.tensor([1, 3, 2])
    assert answer_sums(values, lengths).tolist() == [1.0, 9.0, 11.0]
