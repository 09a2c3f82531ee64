"""The losses of PPO and RLOO, per token: pure functions on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from training.rlhf.objectives.kl import kl_k2_loss, kl_k3_loss, ratio_of
from training.rlhf.recipes.rollouts import RolloutConfig


def clipped_policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    *,
    clip: float,
    dual_clip: float | None = None,
) -> Tensor:
    """Return PPO's clipped surrogate loss per token.

    The loss is max(-A rho, -A clip(rho, 1 - c, 1 + c)), with rho = exp(new - old). All tensors have the same
    shape. The formula is eq. 7 of arXiv 1707.06347 with the opposite sign, because a loss is minimised. The
    minimum in eq. 7 therefore becomes a maximum. The caller reduces the result with the mask and token count
    of the entire batch.

    For a negative advantage, this loss grows without bound as the ratio grows. `dual_clip`, a ratio above 1,
    limits it to -A dual_clip (eq. 5 of arXiv 1912.09729).
    """
    ratio = ratio_of(log_probs, old_log_probs)
    loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1.0 - clip, 1.0 + clip))
    if dual_clip is None:
        return loss
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual_clip), loss)


def policy_loss(
    config: RolloutConfig,
    log_probs: Tensor,
    old_log_probs: Tensor,
    reference: Tensor,
    advantages: Tensor,
    entropy: Tensor,
    *,
    kl_coefficient: float,
) -> tuple[Tensor, Tensor]:
    """Return the clipped surrogate loss and the complete loss. The complete loss adds the KL penalty, if the
    recipe includes the penalty in the loss, and subtracts the entropy bonus. All tensors have the same shape
    and are per token."""
    surrogate = clipped_policy_loss(
        log_probs, old_log_probs, advantages, clip=config.clip, dual_clip=config.dual_clip
    )
    return surrogate, surrogate + penalties(
        config, log_probs, old_log_probs, reference, entropy, kl_coefficient=kl_coefficient
    )


def penalties(
    config: RolloutConfig,
    log_probs: Tensor,
    old_log_probs: Tensor,
    reference: Tensor,
    entropy: Tensor,
    *,
    kl_coefficient: float,
) -> Tensor:
    """Return the terms that the recipe adds to the surrogate loss: the KL penalty, if the recipe includes it
    in the loss, minus the entropy bonus. All tensors have the same shape and are per token."""
    loss = torch.zeros_like(log_probs)
    if config.kl_estimator == "k2":
        loss = loss + kl_coefficient * kl_k2_loss(log_probs, old_log_probs, reference)
    elif config.kl_estimator == "k3":
        loss = loss + kl_coefficient * kl_k3_loss(log_probs, old_log_probs, reference)
    if config.entropy_coefficient > 0:
        loss = loss - config.entropy_coefficient * entropy
    return loss


def clipped_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float
) -> tuple[Tensor, Tensor]:
    """Return PPO's clipped value loss per token, and whether the clipped error was the larger one.

    The loss is half the larger of two squared errors. The first is the error of the value. The second is the
    error of the value after it is clipped to within ``clip`` of the old value. All tensors have the same
    shape. The same formula is used in OpenAI's lm-human-preferences (``train_policy.py``) and CleanRL's
    ``ppo.py``. ``clip`` is in reward units.
    """
    moved = old_values + (values - old_values).clamp(-clip, clip)
    free, clipped = (values - returns).square(), (moved - returns).square()
    return 0.5 * torch.maximum(free, clipped), clipped > free
