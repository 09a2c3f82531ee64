"""Losses on one batch of rankings, and the two losses of PPO: pure functions on tensors.

Shapes used throughout: B rankings, K responses (the widest ranking of the batch).

- ``rewards`` (B, K): one reward per response; entries where ``tiers`` is -1 are padding and are never read.
- ``tiers`` (B, K), integer: 0 for the best tier, 1 for the next, …; equal numbers are a tie; -1 is padding;
  UNRANKED_TIER is what a top-k ranking left below all others: no tie, for nothing was said among them.

Every preference loss returns (B,), one value per ranking, averaged over the pairs of that ranking: a ranking
of nine responses then counts as much as one of two, and its 36 correlated pairs do not drown the rest
(InstructGPT, arXiv 2203.02155 §3.4). A ranking that says nothing to a loss (all tied, where ties are ignored)
gets 0. With d = r_i - r_j and i preferred to j.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.data import UNRANKED_TIER

# nats; exp(20) is 5e8: beyond it a ratio says only "far too large", and exp overflows in bf16
LOG_RATIO_LIMIT = 20.0


def preferred_pairs(tiers: Tensor) -> Tensor:
    """Which ordered pairs the ranking prefers: (B, K) -> bool (B, K, K), [b, i, j] true where i is in a
    better tier than j."""
    real = tiers >= 0
    return (tiers[:, :, None] < tiers[:, None, :]) & real[:, :, None] & real[:, None, :]


def tied_pairs(tiers: Tensor) -> Tensor:
    """Which pairs the ranking ties: (B, K) -> bool (B, K, K), each pair once (i < j)."""
    real = (tiers >= 0) & (tiers != UNRANKED_TIER)
    tied = (tiers[:, :, None] == tiers[:, None, :]) & real[:, :, None] & real[:, None, :]
    return tied.triu(diagonal=1)


def _differences(rewards: Tensor, tiers: Tensor) -> Tensor:
    """d[b, i, j] = r_i - r_j. Padding is zeroed first: 0 * inf or 0 * nan in a padded slot would poison the
    gradient."""
    _check_shapes(rewards, tiers)
    real = rewards.masked_fill(tiers < 0, 0.0)
    return real[:, :, None] - real[:, None, :]


def _smoothed(won: Tensor, lost: Tensor, label_smoothing: float) -> Tensor:
    """Mix the loss of the pair as stated with that of the pair turned round: labels are wrong with this
    probability."""
    if not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing is {label_smoothing}, it must be at least 0 and below 0.5")
    return won if label_smoothing == 0.0 else (1.0 - label_smoothing) * won + label_smoothing * lost


def _mean_per_ranking(values: Tensor, pairs: Tensor) -> Tensor:
    """(B, K, K) values and the pairs that count -> (B,) mean, 0 where a ranking has no such pair."""
    counts = pairs.sum(dim=(1, 2))
    return values.masked_fill(~pairs, 0.0).sum(dim=(1, 2)) / counts.clamp(min=1)


def bradley_terry(rewards: Tensor, tiers: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Bradley–Terry over all pairs across tiers: -log sigma(d). Ties say nothing. (B, K), (B, K) -> (B,) in
    nats per pair.

    Bradley & Terry 1952; K-way mean of InstructGPT, arXiv 2203.02155 eq. 1; label smoothing as conservative
    DPO eq. 3. Raises ValueError for shapes that differ or smoothing outside [0, 0.5).
    """
    d = _differences(rewards, tiers)
    pairs = preferred_pairs(tiers)
    return _mean_per_ranking(_smoothed(-logsigmoid(d), -logsigmoid(-d), label_smoothing), pairs)


def rao_kupper(rewards: Tensor, tiers: Tensor, threshold: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Pairs with ties by Rao & Kupper 1967: P(i > j) = sigma(d - h), P(tie) = sigma(d - h) sigma(-d - h)
    (e^{2h} - 1).

    ``threshold`` h (scalar tensor, >= 0, in reward units) is the difference below which annotators begin to
    tie; h = 0 is Bradley–Terry, where a tie has probability 0. (B, K), (B, K), () -> (B,) in nats per pair,
    tied ones included. Ignoring ties biases the strengths (arXiv 2410.05328). Smoothing swaps the sides of
    strict pairs only.
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    strict = _smoothed(-logsigmoid(d - threshold), -logsigmoid(-d - threshold), label_smoothing)
    tie = -(logsigmoid(d - threshold) + logsigmoid(-d - threshold) + _log_expm1(2.0 * threshold))
    return _mean_per_ranking(torch.where(tied, tie, strict), won | tied)


def davidson(rewards: Tensor, tiers: Tensor, log_nu: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Pairs with ties by Davidson 1970: P(i > j) = e^{d/2} / Z, P(tie) = nu / Z, Z = e^{d/2} + e^{-d/2} + nu.

    ``log_nu`` (scalar tensor) is the log-odds of a tie against a win between equals. (B, K), (B, K), () ->
    (B,) in nats per pair, tied ones included; nu -> 0 is Bradley–Terry.
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    log_z = torch.logsumexp(torch.stack((d / 2, -d / 2, log_nu.expand_as(d))), dim=0)
    strict = _smoothed(log_z - d / 2, log_z + d / 2, label_smoothing)
    return _mean_per_ranking(torch.where(tied, log_z - log_nu, strict), won | tied)


def plackett_luce(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Plackett–Luce over the whole order: sum over choices of [logsumexp of what is left - r of the one
    chosen].

    (B, K), (B, K) -> (B,) in nats per choice (so that the scale matches the pair losses and, at K = 2, equals
    Bradley–Terry). A tier of several is chosen one after another from the same remainder (Breslow's rule);
    the last tier contributes nothing, because what is left over is last with probability one: a top-k ranking
    is therefore written as k tiers and the rest in one tier (UNRANKED_TIER, or any number above theirs).
    Plackett 1975, Luce 1959; arXiv 2301.11270 eq. 4 for K-way rewards.
    """
    _check_shapes(rewards, tiers)
    real = tiers >= 0
    chosen = real & (tiers < tiers.amax(dim=1, keepdim=True))
    # [b, i, j]: j still there when i is chosen
    left = (tiers[:, None, :] >= tiers[:, :, None]) & real[:, None, :]
    left = left | ~real[:, :, None]  # a padded row would be the logsumexp of nothing, whose gradient is nan
    safe = rewards.masked_fill(~real, 0.0)
    remainder = safe[:, None, :].expand(left.shape).masked_fill(~left, -torch.inf).logsumexp(dim=2)
    losses = (remainder - safe).masked_fill(~chosen, 0.0)
    return losses.sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def centring(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Mean over all pairs of (r_i + r_j)^2: holds the free constant of the rewards near 0. (B, K), (B, K) ->
    (B,).

    arXiv 2312.09244 eq. 2; the same expression as TRL's ``center_rewards_coefficient`` at K = 2.
    """
    real = (tiers >= 0)[:, :, None] & (tiers >= 0)[:, None, :]
    safe = rewards.masked_fill(tiers < 0, 0.0)
    return _mean_per_ranking((safe[:, :, None] + safe[:, None, :]) ** 2, real.triu(diagonal=1))


def pair_accuracy(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Share of the preferred pairs whose rewards agree, an equal pair counting one half. (B, K), (B, K) ->
    (B,), nan if none."""
    d = _differences(rewards, tiers)
    pairs = preferred_pairs(tiers)
    agreed = (d > 0).to(rewards.dtype) + 0.5 * (d == 0).to(rewards.dtype)
    return agreed.masked_fill(~pairs, 0.0).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, *, clip: float
) -> Tensor:
    """PPO's clipped surrogate per token: max(-A rho, -A clip(rho, 1 - c, 1 + c)), rho = exp(new - old). Any
    one shape.

    arXiv 1707.06347 eq. 7 (a maximum of negatives, because it is minimised). Reduce with the mask and the
    token count of the whole batch.
    """
    ratio = (log_probs - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1.0 - clip, 1.0 + clip))


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Half the larger of two squared errors, plain and with the value moved at most ``clip`` from the old.
    Any one shape.

    As in OpenAI's lm-human-preferences (``train_policy.py``) and CleanRL ``ppo.py``; ``clip`` is in reward
    units.
    """
    moved = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (moved - returns) ** 2)


def _log_expm1(x: Tensor) -> Tensor:
    """log(e^x - 1) for x > 0 without overflow for large x (then x) or cancellation for small x (then log
    x)."""
    return x + torch.log(-torch.expm1(-x))


def _check_shapes(rewards: Tensor, tiers: Tensor) -> None:
    if rewards.shape != tiers.shape or rewards.ndim != 2:
        shapes = f"rewards {tuple(rewards.shape)} and tiers {tuple(tiers.shape)}"
        raise ValueError(f"{shapes} must both be (rankings, responses)")
