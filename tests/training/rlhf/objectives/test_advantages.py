"""Advantages and whitening are compared with closed forms and simple fp64 loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.rlhf.objectives import advantages
from training.rlhf.objectives.token_rewards import token_rewards

LENGTHS = [5, 1, 3]
MASK = torch.arange(5)[None, :] < torch.tensor(LENGTHS)[:, None]


def random(seed: int) -> Tensor:
    return torch.randn(MASK.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_gae_is_the_discounted_sum_of_temporal_differences() -> None:
    rewards, values, gamma, lam = random(1), random(2), 0.97, 0.9
    found, returns = advantages.generalised_advantages(rewards, values, MASK, gamma=gamma, lam=lam)
    for row, length in enumerate(LENGTHS):
        r, v = rewards[row].tolist(), [*values[row].tolist()[:length], 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(length)]
        expected = [
            sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, length)) for t in range(length)
        ]
        assert found[row, :length].tolist() == pytest.approx(expected, abs=1e-12)
        assert found[row, length:].abs().sum().item() == 0.0
        assert returns[row, :length].tolist() == pytest.approx(
            [a + b for a, b in zip(expected, v, strict=False)], abs=1e-12
        )


def test_returns_with_lambda_one_are_the_rewards_to_go() -> None:
    rewards = random(3)
    _, returns = advantages.generalised_advantages(rewards, random(4), MASK, gamma=1.0, lam=1.0)
    kept = rewards.masked_fill(~MASK, 0)
    assert torch.allclose(returns[MASK], kept.flip(1).cumsum(1).flip(1)[MASK])


def test_gae_ignores_padding_and_rejects_masks_with_holes() -> None:
    dirty = random(1).masked_fill(~MASK, math.nan)
    clean, _ = advantages.generalised_advantages(random(1), random(2), MASK, gamma=1.0, lam=0.95)
    found, _ = advantages.generalised_advantages(dirty, random(2), MASK, gamma=1.0, lam=0.95)
    assert torch.equal(clean, found)
    with pytest.raises(ValueError, match="without gaps"):
        advantages.generalised_advantages(dirty, dirty, MASK.flip(1), gamma=1.0, lam=0.95)


def test_truncated_and_finished_answers_get_the_same_advantages() -> None:
    """The score belongs to the last real token of each answer, not to the first padding token after it."""
    scores, no_kl = torch.tensor([1.0, 1.0, 1.0]), torch.zeros(3, 5)
    rewards = token_rewards(scores, no_kl, MASK, kl_coefficient=0.1)
    last = torch.tensor([length - 1 for length in LENGTHS])
    assert rewards[torch.arange(3), last].tolist() == [1.0, 1.0, 1.0]
    found, _ = advantages.generalised_advantages(rewards, torch.zeros(3, 5), MASK, gamma=1.0, lam=0.95)
    assert found[torch.arange(3), last].tolist() == [1.0, 1.0, 1.0]


def test_kl_is_subtracted_from_token_rewards_and_empty_answers_are_rejected() -> None:
    kl = random(5)
    rewards = token_rewards(torch.zeros(3, dtype=torch.float64), kl, MASK, kl_coefficient=0.5)
    assert torch.equal(rewards, (-0.5 * kl).masked_fill(~MASK, 0))
    with pytest.raises(ValueError, match="no tokens"):
        token_rewards(
            torch.zeros(1), torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), kl_coefficient=0
        )


def test_whitening_normalises_all_parts_jointly() -> None:
    parts, masks = [random(1), random(2) * 7 + 3], [MASK, MASK]
    found = advantages.whiten(parts, masks)
    together = torch.cat([part[MASK] for part in found])
    assert together.mean().item() == pytest.approx(0, abs=1e-12)
    assert together.var(unbiased=False).item() == pytest.approx(1, abs=1e-6)
    assert found[0][~MASK].abs().sum().item() == 0.0
    assert found[0][MASK].mean().abs().item() > 0.1  # the parts are not whitened separately


def test_whitening_can_keep_the_mean() -> None:
    """As in TRL's `masked_whiten(…, shift_mean=False)`, the unscaled mean is added back."""
    parts, masks = [random(1) + 2, random(2) * 7 + 3], [MASK, MASK]
    everything = torch.cat([part[MASK] for part in parts])
    expected = (everything - everything.mean()) / everything.std(unbiased=False) + everything.mean()
    together = torch.cat([part[MASK] for part in advantages.whiten(parts, masks, shift_mean=False)])
    assert torch.allclose(together, expected, atol=1e-6)


def test_equal_advantages_are_whitened_to_zeros() -> None:
    (found,) = advantages.whiten([torch.full((3, 5), 2.0)], [MASK])
    assert found.abs().max().item() == 0.0


def test_explained_variance_is_one_for_exact_values_and_zero_for_constants() -> None:
    returns = random(8).flatten()
    assert advantages.explained_variance(returns, returns) == 1.0
    assert advantages.explained_variance(torch.full_like(returns, 4.0), returns) == pytest.approx(0)
    assert advantages.explained_variance(returns, torch.ones_like(returns)) is None
