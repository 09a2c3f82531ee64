"""From rewards to advantages: whitening and generalised advantage estimation. Pure functions on tensors.

Tensors of shape (B, T) represent B responses of at most T tokens and are right-padded. ``mask`` is a bool
tensor of this shape and is true for real response tokens, including EOS. Values in padding are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WHITEN_EPSILON = 1e-8  # added to the variance, so that equal advantages become 0 rather than NaN


def whiten(
    values: Sequence[Tensor],
    masks: Sequence[Tensor],
    *,
    shift_mean: bool = True,
    join: Callable[[Sequence[Tensor]], Tensor] = lambda parts: torch.cat(list(parts)),
) -> list[Tensor]:
    """Scale all parts jointly to variance 1 over their real tokens, and shift them to mean 0. Padding becomes
    0.

    The parts are the micro-batches of one update. If each part were whitened separately, equal advantages
    would have different weights in different micro-batches. Uses the biased variance. Without `shift_mean`,
    the values keep their mean, as in the reward whitening of OpenAI's lm-human-preferences and of TRL. `join`
    concatenates the parts' real tokens. With several processes, its result contains the tokens of all
    processes.
    """
    everything = join([value[mask] for value, mask in zip(values, masks, strict=True)])
    variance, mean = torch.var_mean(everything, unbiased=False)
    scale = torch.rsqrt(variance + WHITEN_EPSILON)
    kept = 0.0 if shift_mean else mean
    return [
        ((value - mean) * scale + kept).masked_fill(~mask, 0.0)
        for value, mask in zip(values, masks, strict=True)
    ]


def generalised_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return the advantages, computed by generalised advantage estimation (GAE), and the returns.

    The advantage is A_t = delta_t + gamma lam A_{t+1}, with delta_t = r_t + gamma V_{t+1} - V_t. V is 0 after
    the last real token. All tensors, including both results, have shape (B, T). The results are 0 outside the
    mask, and returns = advantages + values. ``values[t]`` is the value of the state in which token t was
    chosen. The source is Schulman et al., arXiv 1506.02438 eq. 16. Raises ValueError if a mask is not a
    prefix, because a gap would merge two responses.
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


def explained_variance(values: Tensor, returns: Tensor) -> float | None:
    """Return 1 - Var(returns - values) / Var(returns) over N tokens.

    1 means a perfect prediction, and 0 means a prediction no better than the mean. The result is None for
    constant returns.
    """
    variance = float(returns.var(unbiased=False))
    return None if variance == 0.0 else 1.0 - float((returns - values).var(unbiased=False)) / variance
