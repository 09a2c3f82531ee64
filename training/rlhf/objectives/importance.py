"""Correction for answers that another engine sampled: pure functions on tensors.

A generation server's kernels, and often its precision, differ from those of the training forward pass. The
answers then come from a policy that differs slightly from the one in training. Tensors contain the
log-probabilities of the sampled tokens only, in nats, at the sampling temperature.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.rlhf.objectives.kl import LOG_RATIO_LIMIT, kl_k3


def truncated_weights(log_probs: Tensor, sampler: Tensor, *, cap: float) -> Tensor:
    """Return min(p / q, cap), where p is the policy's probability before the update and q is the sampler's.
    Both tensors and the result have the same shape. The result carries no gradient.

    Both tensors contain log-probabilities per token, or their sums per answer. If no weight is capped, the
    weighted mean over samples from q is exactly the mean over samples from p. The cap bounds the variance: a
    token that q hardly ever samples would otherwise have an unbounded weight. However, the cap makes the mean
    biased.

    Ionides, "Truncated Importance Sampling" (2008). Yao et al., "Your Efficient RL Framework Secretly Brings
    You Off-Policy RL Training" (2025, fengyao.notion.site/off-policy-rl) apply truncated weights to the
    policy gradient of language models.
    """
    return (log_probs - sampler).detach().clamp(max=LOG_RATIO_LIMIT).exp().clamp(max=cap)


def sampler_gap(log_probs: Tensor, sampler: Tensor) -> dict[str, float]:
    """Return how far the sampler is from the policy, per token and in nats: the mean and the largest
    |difference| of the log-probabilities, and an estimate of KL(sampler || policy).

    Both arguments have shape (N,). The estimate, the mean of k3 over the sampler's tokens, is unbiased and
    never negative.
    """
    difference = (log_probs - sampler).abs()
    return {
        "sampler/gap_mean": float(difference.mean()),
        "sampler/gap_max": float(difference.max()),
        "sampler/kl": float(kl_k3(sampler, log_probs).mean()),
    }


def answer_sums(values: Tensor, lengths: Tensor) -> Tensor:
    """Return the sum of each answer's values. `values`, with shape (N,), contains one value per token, answer
    by answer. `lengths`, with shape (B,), contains each answer's number of tokens. The result has shape
    (B,)."""
    owner = torch.arange(len(lengths), device=values.device).repeat_interleave(lengths)
    return values.new_zeros(len(lengths)).index_add(0, owner, values)
