"""The KL estimators are compared with the exact KL of categorical distributions, in value and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.rlhf.policy import kl

LOGITS = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def distributions() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits of a policy, and the log-probabilities of that policy, of the policy that sampled, and of
    the reference. All six outcomes are enumerated, so a mean over samples is an exact sum."""
    logits = LOGITS[0].clone().requires_grad_()
    old, reference = LOGITS[1:].log_softmax(1)
    return logits, logits.log_softmax(0), old, reference


def exact(logits: Tensor, reference: Tensor) -> tuple[float, Tensor]:
    policy = logits.log_softmax(0)
    value = (policy.exp() * (policy - reference)).sum()
    (gradient,) = torch.autograd.grad(value, logits)
    return value.item(), gradient


def test_k1_and_k3_are_unbiased_estimators_of_the_kl() -> None:
    """The exact expectation over a categorical distribution also verifies the sign of KL(policy ||
    reference)."""
    logits, policy, _, reference = distributions()
    value, _ = exact(logits, reference)
    assert value > 0.05
    for estimator in (kl.kl_k1, kl.kl_k3):
        assert (policy.exp() * estimator(policy, reference)).sum().item() == pytest.approx(value, abs=1e-12)
    assert kl.kl_k3(policy, reference).min().item() >= 0


def test_k1_as_a_loss_has_zero_expected_gradient() -> None:
    logits, policy, _, reference = distributions()
    weights = policy.exp().detach()  # the sampling itself is not differentiated
    (found,) = torch.autograd.grad((weights * kl.kl_k1(policy, reference)).sum(), logits)
    assert found.abs().max().item() < 1e-12


@pytest.mark.parametrize("on_policy", [True, False])
def test_k2_and_k3_as_losses_have_the_gradient_of_the_kl(on_policy: bool) -> None:
    """Off-policy too: during an update, the tokens were sampled by an older policy."""
    for estimator in (kl.kl_k2_loss, kl.kl_k3_loss):
        logits, policy, old, reference = distributions()
        old = policy.detach() if on_policy else old
        value, gradient = exact(logits, reference)
        loss = (old.exp() * estimator(policy, old, reference)).sum()
        (found,) = torch.autograd.grad(loss, logits)
        assert torch.allclose(found, gradient, atol=1e-12), estimator
        if estimator is kl.kl_k3_loss:
            assert loss.item() == pytest.approx(value, abs=1e-12)


def test_k3_without_the_ratio_has_the_gradient_of_the_reverse_kl() -> None:
    """The reason for the weight in `kl_k3_loss`."""
    logits, policy, _, reference = distributions()
    (found,) = torch.autograd.grad((policy.detach().exp() * kl.kl_k3(policy, reference)).sum(), logits)
    backward = (reference.exp() * (reference - logits.log_softmax(0))).sum()
    (expected,) = torch.autograd.grad(backward, logits)
    assert torch.allclose(found, expected, atol=1e-12)
    assert not torch.allclose(found, exact(logits, reference)[1], atol=1e-3)


def test_estimates_of_extreme_ratios_are_finite() -> None:
    far, zero = torch.tensor(-1e4, requires_grad=True), torch.tensor(0.0)
    for estimate in (
        kl.kl_k3(far, zero),
        kl.kl_k3_loss(far, zero, zero),
        kl.kl_k3_loss(zero, far, far),
        kl.ratio_of(zero, far),
    ):
        assert math.isfinite(estimate.item())
