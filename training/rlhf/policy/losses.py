"""PPO's two losses, per token: pure functions on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

# Limit of |log ratio| in nats. exp(20) is about 5e8. A larger ratio adds no information, and exp of large
# values overflows in bf16.
LOG_RATIO_LIMIT = 20.0


def clipped_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, *, clip: float
) -> Tensor:
    """Return PPO's clipped surrogate loss per token.

    The loss is max(-A rho, -A clip(rho, 1 - c, 1 + c)), with rho = exp(new - old). All arguments and the
    result have the same shape. The formula is eq. 7 of arXiv 1707.06347 with the opposite sign, because a
    loss is minimised. The minimum in eq. 7 therefore becomes a maximum. The caller reduces the result with
    the mask and token count of the entire batch.
    """
    ratio = (log_probs - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1.0 - clip, 1.0 + clip))


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> Tensor:
    """Return PPO's clipped value loss per token.

    The loss is half the larger of two squared errors. The first is the error of the value. The second is the
    error of the value after it is clipped to within ``clip`` of the old value. All arguments and the result
    have the same shape. The same formula is used in OpenAI's lm-human-preferences (``train_policy.py``) and
    CleanRL's ``ppo.py``. ``clip`` is in reward units.
    """
    moved = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (moved - returns) ** 2)
