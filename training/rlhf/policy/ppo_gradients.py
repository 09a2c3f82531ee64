"""The gradients of PPO's losses on a micro-batch, and the micro-batch's contribution to the minibatch's
metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.rlhf.core import distributed
from training.rlhf.models.forward.logprobs import outputs_of
from training.rlhf.objectives import advantages, losses
from training.rlhf.objectives.importance import truncated_weights
from training.rlhf.objectives.kl import kl_k3, ratio_of
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.critic import Critic
from training.rlhf.rollouts.rollout import MicroBatch, Models, Rollout, halves_of, spare_micro_batch
from training.rlhf.rollouts.state import OnPolicyState


@dataclass(frozen=True, slots=True)
class Part:
    """A micro-batch with the targets of its update. ``values``, ``advantages`` and ``returns`` have shape
    (B, R) and are 0 in padding."""

    seen: MicroBatch
    values: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def places(self) -> int:
        return self.seen.places

    @property
    def size(self) -> int:
        return self.seen.size

    def halves(self, models: Models, rollout: Rollout) -> list[Part]:
        """Return the first and the second half of the rows. A single row is not divided."""
        return [
            Part(
                seen,
                *(one[rows, : seen.mask.shape[1]] for one in (self.values, self.advantages, self.returns)),
            )
            for rows, seen in zip(
                halves_of(len(self.seen.numbers)), self.seen.halves(models, rollout), strict=True
            )
        ]


def policy_backward(
    config: PPOConfig,
    state: OnPolicyState,
    part: Part,
    tokens: int,
    temperature: float,
    *,
    critic: Critic | None = None,
    counts: bool = True,
) -> tuple[dict[str, float], float]:
    """Add the gradient of the policy's loss on a micro-batch, or zeros if ``counts`` is false. Return the
    micro-batch's contribution to the minibatch's metrics, and the largest |log ratio|.

    With a shared ``critic``, the gradient of its loss is added in the same pass, and its metrics are returned
    too. If the policy's states are not available, the critic's gradient is not added, and its metrics are
    missing."""
    seen, mask = part.seen, part.seen.mask
    old, advantage = seen.log_probs[mask], part.advantages[mask]
    log_probs, entropy, states = outputs_of(state.models.actor, seen.rows.inputs, temperature=temperature)
    surrogate, loss = losses.policy_loss(
        config, log_probs, old, seen.reference[mask], advantage, entropy, kl_coefficient=state.kl.beta
    )
    if seen.sampler is not None and config.importance_cap is not None:
        weights = truncated_weights(old, seen.sampler, cap=config.importance_cap)
        surrogate, loss = weights * surrogate, weights * loss
    total, of_critic = loss.sum() / tokens, dict[str, float]()
    if critic is not None and states is not None:
        value_loss, of_critic = critic_loss(config, critic.values_at(states), part, tokens)
        total = total + value_loss
    torch.autograd.backward(total if counts else 0 * total)
    new = log_probs.detach()
    ratio = ratio_of(new, old)
    shares = {
        "loss/policy_avg": surrogate.detach(),
        "policy/approxkl_avg": kl_k3(old, new),
        "policy/clipfrac_avg": ((ratio - 1).abs() > config.clip).float(),
        "policy/entropy_avg": entropy.detach(),
        "val/ratio": ratio,
        # When the minibatch is complete, the square of the mean is subtracted to get the variance.
        "val/ratio_var": ratio.square(),
    }
    return (
        {name: float(values.sum()) / tokens for name, values in shares.items()} | of_critic,
        float((new - old).abs().max()),
    )


def critic_backward(
    config: PPOConfig,
    critic: Critic,
    part: Part,
    tokens: int,
    *,
    trains_policy: bool = True,
    counts: bool = True,
) -> dict[str, float]:
    """Add the gradient of the critic's loss on a micro-batch, or zeros if ``counts`` is false. Return the
    micro-batch's contribution to the minibatch's metrics."""
    with critic.active():
        values = critic(part.seen.rows.inputs, trains_policy=trains_policy)
        loss, metrics = critic_loss(config, values, part, tokens)
        torch.autograd.backward(loss if counts else 0 * loss)
    return metrics


def critic_loss(
    config: PPOConfig, values: Tensor, part: Part, tokens: int
) -> tuple[Tensor, dict[str, float]]:
    """Return the critic's weighted loss on a micro-batch, and the micro-batch's contribution to the
    minibatch's metrics. ``values`` has shape (N,)."""
    mask = part.seen.mask
    loss, clipped = losses.clipped_value_loss(
        values, part.values[mask], part.returns[mask], clip=config.value_clip
    )
    return config.value_coefficient * loss.sum() / tokens, {
        "loss/value_avg": float(loss.detach().sum()) / tokens,
        "val/clipfrac_avg": float(clipped.sum()) / tokens,
    }


def spare_part(models: Models, rollout: Rollout) -> Part:
    """Return a micro-batch for passes whose results are ignored."""
    seen = spare_micro_batch(models, rollout)
    zeros = torch.zeros_like(seen.log_probs)
    return Part(seen, zeros, zeros, zeros)


def explained_variance(parts: Sequence[Part]) -> dict[str, float]:
    """Return the metric `val/explained_variance`: the share of the returns' variance that the critic
    predicted. The result is empty if all returns are equal."""
    explained = advantages.explained_variance(
        distributed.joined([part.values[part.seen.mask] for part in parts]),
        distributed.joined([part.returns[part.seen.mask] for part in parts]),
    )
    return {} if explained is None else {"val/explained_variance": explained}
