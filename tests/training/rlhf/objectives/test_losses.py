"""PPO's policy loss and value loss match manual calculations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from training.rlhf.objectives import losses
from training.rlhf.recipes.ppo import PPOConfig


def test_policy_loss_does_not_reward_ratios_beyond_the_clip_range() -> None:
    old = torch.zeros(4, dtype=torch.float64)
    new = torch.log(torch.tensor([1.5, 0.5, 1.5, 0.5], dtype=torch.float64)).requires_grad_()
    advantage = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
    loss = losses.clipped_policy_loss(new, old, advantage, clip=0.2)
    assert loss.tolist() == pytest.approx([-1.2, 0.8, 1.5, -0.5])
    loss.sum().backward()
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([0.0, 0.0, 1.5, -0.5])


def test_dual_clip_limits_the_loss_of_tokens_with_a_negative_advantage() -> None:
    """Eq. 5 of arXiv 1912.09729: for A < 0, the objective is max(min(rho A, clip(rho) A), c A)."""
    old = torch.zeros(4, dtype=torch.float64)
    new = torch.log(torch.tensor([10.0, 10.0, 2.0, 0.1], dtype=torch.float64)).requires_grad_()
    advantage = torch.tensor([-1.0, 1.0, -1.0, -1.0], dtype=torch.float64)
    loss = losses.clipped_policy_loss(new, old, advantage, clip=0.2, dual_clip=3.0)
    assert loss.tolist() == pytest.approx([3.0, -1.2, 2.0, 0.8])
    loss.sum().backward()
    assert new.grad is not None
    assert new.grad.tolist() == pytest.approx([0.0, 0.0, 2.0, 0.0])


def test_value_loss_is_the_larger_of_the_clipped_and_unclipped_losses() -> None:
    values, old, returns = torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    loss, clipped = losses.clipped_value_loss(values, old, returns, clip=0.2)
    assert loss.tolist() == pytest.approx([0.5 * 0.8**2, 0.5 * 0.9**2])
    assert clipped.tolist() == [True, False]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_complete_loss_includes_clips_and_kl_penalty_and_entropy_bonus(estimator: Any) -> None:
    """For each token, the ratio to the policy that sampled it is 4, and the ratio to the reference is 2."""
    config = PPOConfig(clip=0.1, dual_clip=3.0, kl_estimator=estimator, entropy_coefficient=0.25)
    zeros = torch.zeros(2, dtype=torch.float64)
    new, entropy = zeros + math.log(4.0), torch.tensor([0.5, 2.0], dtype=torch.float64)
    surrogate, complete = losses.policy_loss(
        config,
        new,
        zeros,
        zeros + math.log(2.0),
        torch.tensor([1.0, -1.0], dtype=torch.float64),
        entropy,
        kl_coefficient=0.3,
    )
    assert surrogate.tolist() == pytest.approx([-1.1, 3.0])
    of_estimator = {"k1": 0.0, "k2": 0.5 * math.log(2.0) ** 2, "k3": 0.5 - 1 + math.log(2.0)}[estimator]
    penalty = 0.3 * 4.0 * of_estimator  # weighted by the ratio
    assert complete.tolist() == pytest.approx([-1.1 + penalty - 0.125, 3.0 + penalty - 0.5])
