"""The rewards of tokens: the KL penalty of each token, and the score at the end of the answer."""

from __future__ import annotations

import torch
from torch import Tensor


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, *, kl_coefficient: float) -> Tensor:
    """Return -beta KL for every real token, plus the response's score at its last real token. ``scores`` has
    shape (B,). ``kl``, ``mask`` and the result have shape (B, T).

    The score is placed on the last real token, whether or not this token is EOS. TRL <= 1.12 placed a
    finished response's score on the first padding token. The tokens of a finished response were therefore one
    step further from the score than those of a truncated response, and received less credit. Raises
    ValueError for an empty response.
    """
    lengths = mask.sum(dim=1)
    if bool((lengths == 0).any()):
        raise ValueError("a response with no tokens has no last token to reward")
    rewards = (-kl_coefficient * kl).masked_fill(~mask, 0.0)
    rewards[torch.arange(len(scores), device=scores.device), lengths - 1] += scores
    return rewards
