"""The KL estimators are compared with the exact KL of categorical distributions, in value and gradient."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from training.rlhf.objectives import kl as kl_module
from training.rlhf.recipes.ppo import PPOConfig

LOGITS = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(9))


def distributions() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The logits of a policy, and the log-probabilities of that policy, of the sampling policy, and of
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
    for estimator in (kl_module.kl_k1, kl_module.kl_k3):
        assert (policy.exp() * estimator(policy, reference)).sum().item() == pytest.approx(value, abs=1e-12)
    assert kl_module.kl_k3(policy, reference).min().item() >= 0


def test_k1_as_a_loss_has_zero_expected_gradient() -> None:
    logits, policy, _, reference = distributions()
    weights = policy.exp().detach()  # the sampling itself is not differentiated
    (found,) = torch.autograd.grad((weights * kl_module.kl_k1(policy, reference)).sum(), logits)
    assert found.abs().max().item() < 1e-12


@pytest.mark.parametrize("on_policy", [True, False])
def test_k2_and_k3_as_losses_have_the_gradient_of_the_kl(on_policy: bool) -> None:
    """Off-policy, the tokens come from an older policy, as they do during an update."""
    for estimator in (kl_module.kl_k2_loss, kl_module.kl_k3_loss):
        logits, policy, old, reference = distributions()
        old = policy.detach() if on_policy else old
        value, gradient = exact(logits, reference)
        loss = (old.exp() * estimator(policy, old, reference)).sum()
        (found,) = torch.autograd.grad(loss, logits)
        assert torch.allclose(found, gradient, atol=1e-12), estimator
        if estimator is kl_module.kl_k3_loss:
            assert loss.item() == pytest.approx(value, abs=1e-12)


def test_k3_without_the_ratio_has_the_gradient_of_the_reverse_kl() -> None:
    """The wrong gradient is the reason why `kl_k3_loss` weights k3 by the ratio."""
    logits, policy, _, reference = distributions()
    (found,) = torch.autograd.grad((policy.detach().exp() * kl_module.kl_k3(policy, reference)).sum(), logits)
    backward = (reference.exp() * (reference - logits.log_softmax(0))).sum()
    (expected,) = torch.autograd.grad(backward, logits)
    assert torch.allclose(found, expected, atol=1e-12)
    assert not torch.allclose(found, exact(logits, reference)[1], atol=1e-3)


def test_estimates_of_extreme_ratios_are_finite() -> None:
    far, zero = torch.tensor(-1e4, requires_grad=True), torch.tensor(0.0)
    for estimate in (
        kl_module.kl_k3(far, zero),
        kl_module.kl_k3_loss(far, zero, zero),
        kl_module.kl_k3_loss(zero, far, far),
        kl_module.ratio_of(zero, far),
    ):
        assert math.isfinite(estimate.item())


def relaxing(kl: float, beta: float) -> float:
    """A policy whose KL approaches an equilibrium that depends on beta."""
    return kl + 0.15 * (min(0.16 / beta**2, 60.0) - kl)


def drifting(kl: float, beta: float) -> float:
    """A policy that moves at a constant speed, as with whitened advantages. The gain in reward per nat falls
    as the policy moves away."""
    gain, penalty = 1 / math.sqrt(kl + 0.05), 5 * beta
    return max(kl + 0.3 * (gain - penalty) / math.hypot(gain, penalty), 0.0)


def diffusing(kl: float, beta: float) -> float:
    """A policy that moves away at a constant speed, whatever beta is, because the penalty's gradient is too
    noisy. RLOO with a penalty in the reward behaves similarly."""
    distance: float = math.sqrt(kl) + 0.15
    return distance * distance


@pytest.mark.parametrize("step", [relaxing, drifting, diffusing])
@pytest.mark.parametrize("target", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("coefficient", [0.02, 0.2])
def test_controller_keeps_the_kl_of_simulated_policies_at_the_target(
    step: Callable[[float, float], float], target: float, coefficient: float
) -> None:
    """The controller sees an estimate of the KL: the mean k1 of 64 answers. The variance of an answer's k1
    is about twice the KL. Moving the weights back by a share p multiplies the KL by (1 - p)²."""
    ends, peaks = [], []
    for seed in range(8):
        noise, controller, kl = random.Random(seed), kl_module.KLController.starting(coefficient, target), 0.0
        seen = []
        for _ in range(60):
            seen.append(kl)
            controller = controller.after(kl + noise.gauss(0, (2 * kl / 64) ** 0.5))
            kl = step(kl, controller.beta) * (1 - controller.pull) ** 2
        ends.append(sum(seen[-15:]) / 15)
        peaks.append(max(seen))
    # At 0.5 nats, the noise of one step is a quarter of the target.
    assert sum(ends) / 8 == pytest.approx(target, rel=0.1 if target > 0.5 else 0.2)
    if coefficient == 0.2 and target > 0.5:  # otherwise, the first step alone can exceed the target
        assert max(peaks) < 1.5 * target


def test_weights_are_pulled_back_only_beyond_the_target() -> None:
    """If a policy stays at the distance x = sqrt(KL / target) and x is above 1.03, the pull is 1 - 1.03 / x.
    In the last case, x is sqrt(2.25) = 1.5."""
    for kl, pull in ((0.5, 0.0), (1.0, 0.0), (2.25, 1 - 1.03 / 1.5)):
        still = kl_module.KLController(0.1, 1.0, 0.1, distance=math.sqrt(kl), measured=100)
        assert still.after(kl).pull == pytest.approx(pull)


def test_controller_stays_within_its_limits_and_can_leave_the_upper_one() -> None:
    controller = kl_module.KLController.starting(0.1, 1.0)
    for _ in range(500):
        controller = controller.after(1e6)
    assert controller.integral == pytest.approx(math.log(1000))
    assert controller.beta == pytest.approx(100 * math.e)  # the proportional part adds at most 1 to log beta
    for _ in range(500):
        controller = controller.after(0.0)
    assert controller.beta == pytest.approx(1e-4 / math.e)
    assert kl_module.KLController.starting(0.1, None).after(50.0).beta == 0.1


def test_integral_does_not_change_while_the_coefficient_has_no_effect() -> None:
    """During warm-up, the KL is 0. Beyond the ceiling, the penalty is the only reward, with a coefficient of
    at least 1. In neither case does the KL show whether beta is too high or too low."""
    start = kl_module.KLController.starting(0.1, 1.0)
    assert start.after(0.0, acted=False) == start
    controller = start
    for _ in range(20):
        controller = controller.after(9.0, acted=False)
    assert controller.integral == 0.0
    assert start.after(9.0).integral != 0.0


def test_contradictory_controller_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="kl_coefficient, which must then be above 0"):
        PPOConfig.model_validate({"kl_target": 1.0, "kl_coefficient": 0.0})
    with pytest.raises(ValueError, match="kl_ceiling must be above kl_target"):
        PPOConfig.model_validate({"kl_target": 1.0, "kl_ceiling": 1.0})
