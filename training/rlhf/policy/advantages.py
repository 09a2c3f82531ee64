"""From rewards to advantages: KL estimators and generalised advantage estimation. Pure functions on tensors.

Tensors of shape (B, T) represent B responses of at most T tokens and are right-padded. ``mask`` is a bool
tensor of this shape and is true for real response tokens, including EOS. Values in padding are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.rlhf.policy.losses import LOG_RATIO_LIMIT

WHITEN_EPSILON = 1e-8  # added to the variance, so that equal advantages become 0 rather than NaN

# Ziegler et al. 2019, arXiv 1909.08593 eq. 5: the proportional error is clipped to ±20 %.
ADAPTIVE_KL_CLIP = 0.2


def whiten(values: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    """Shift and scale all parts jointly to mean 0 and variance 1 over their real tokens. Padding becomes 0.

    The parts are the micro-batches of one update. If each part were whitened separately, equal advantages
    would have different weights in different micro-batches. Uses the biased variance, as OpenAI's
    lm-human-preferences does.
    """
    everything = torch.cat([value[mask] for value, mask in zip(values, masks, strict=True)])
    variance, mean = torch.var_mean(everything, unbiased=False)
    scale = torch.rsqrt(variance + WHITEN_EPSILON)
    return [
        ((value - mean) * scale).masked_fill(~mask, 0.0) for value, mask in zip(values, masks, strict=True)
    ]


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return generalised advantages (GAE) and returns.

    The advantage is A_t = delta_t + gamma lam A_{t+1}, with delta_t = r_t + gamma V_{t+1} - V_t. V is 0 after
    the last real token. All arguments and both results have shape (B, T). The results are 0 outside the mask,
    and returns = advantages + values. ``values[t]`` is the value of the state in which token t was chosen.
    The source is Schulman et al., arXiv 1506.02438 eq. 16. Raises ValueError if a mask is not a prefix,
    because a gap would merge two responses.
    """
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("the mask of a response must be true from its first token to its last, without gaps")
    rewards, values = rewards.masked_fill(~mask, 0.0), values.masked_fill(~mask, 0.0)
    advantages = torch.zeros_like(values)
    following_value, following_advantage = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for t in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * following_value - values[:, t]
        following_advantage = (delta + gamma * lam * following_advantage).masked_fill(~mask[:, t], 0.0)
        advantages[:, t] = following_advantage
        following_value = values[:, t]
    return advantages, advantages + values


def kl_k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return log pi - log ref of the sampled tokens, in nats. All arguments have the same shape.

    The mean of this estimator over samples from pi is KL(pi || ref). Individual values can be negative. As a
    reward, the estimator gives the correct policy gradient. As a loss, the estimator's gradient has mean 0.
    Schulman, "Approximating KL divergence".
    """
    return log_probs - reference


def kl_k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """Return exp(ref - pi) - 1 - (ref - pi), an unbiased estimate of KL(pi || ref). The estimate is never
    negative. All arguments have the same shape.

    The log-ratio is clamped before exp. Schulman, "Approximating KL divergence".
    """
    backward = (reference - log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.expm1(backward) - backward


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, kl_coefficient: float) -> Tensor:
    """Return -beta KL for every real token, plus the response's score at its last real token. ``scores`` has
    shape (B,). ``kl``, ``mask`` and the result have shape (B, T).

    The score is placed on the last real token, whether or not that is EOS. TRL <= 1.12 placed a finished
    response's score on the first padding token. A finished response was therefore one step further from its
    score than a truncated response, and received less credit. Raises ValueError for an empty response.
    """
    lengths = mask.sum(dim=1)
    if bool((lengths == 0).any()):
        raise ValueError("a response with no tokens has no last token to reward")
    rewards = (-kl_coefficient * kl).masked_fill(~mask, 0.0)
    rewards[torch.arange(len(scores), device=scores.device), lengths - 1] += scores
    return rewards


def adapted_kl_coefficient(
    coefficient: float, *, kl: float, target: float, samples: int, horizon: int
) -> float:
    """Return the new KL coefficient, beta (1 + clip(KL / target - 1, ±0.2) samples / horizon).

    The KL is in nats per response. The formula is eq. 5 of arXiv 1909.08593.
    """
    error = min(max(kl / target - 1.0, -ADAPTIVE_KL_CLIP), ADAPTIVE_KL_CLIP)
    return coefficient * (1.0 + error * samples / horizon)


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 - Var(returns - values) / Var(returns) over N tokens.

    1 means a perfect prediction, 0 means a prediction no better than the mean, and nan means constant
    returns.
    """
    variance = returns.var(unbiased=False)
    return (
        float("nan")
        if float(variance) == 0.0
        else float(1.0 - (returns - values).var(unbiased=False) / variance)
    )
