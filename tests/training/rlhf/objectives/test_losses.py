"""PPO's policy loss and value loss, compared with manual calculations."""

from __future__ import annotations

import pytest
import torch

from training.rlhf.objectives import losses


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


def test_value_loss_is_the_larger_of_clipped_and_unclipped_loss() -> None:
    values, old, returns = torch.tensor([1.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0])
    loss, clipped = losses.clipped_value_loss(values, old, returns, clip=0.2)
    assert loss.tolist() == pytest.approx([0.5 * 0.8**2, 0.5 * 0.9**2])
    assert clipped.tolist() == [True, False]
