"""Advantages without a critic: each answer is compared with the other answers to the same prompt. Pure
functions on tensors.

Rewards have shape (P, K), for K answers to each of P prompts. Results have the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.rlhf.recipes.rloo import Advantage, Aggregation

# Added to a standard deviation, so that equal rewards give advantages of 0 rather than NaN. TRL's trainers
# use the same value. The papers' formulas contain no such term.
STD_EPSILON = 1e-4


def leave_one_out(rewards: Tensor) -> Tensor:
    """Return r_i minus the mean reward of the K - 1 other answers to the prompt.

    The baseline doesn't depend on the answer itself, so the policy gradient is unbiased. The result equals
    K / (K - 1) times `group_relative`. The source is Ahmadian et al. 2024, arXiv 2402.14740. Raises
    ValueError for K < 2.
    """
    relative = _relative(rewards)
    others = (relative.sum(dim=1, keepdim=True) - relative) / (rewards.shape[1] - 1)
    return relative - others


def group_relative(rewards: Tensor, *, scale: bool) -> Tensor:
    """Return r_i minus the mean reward of all K answers to the prompt. If ``scale``, the result is divided by
    the standard deviation of these K rewards.

    With ``scale``, this is the advantage of GRPO (Shao et al. 2024, arXiv 2402.03300). Without ``scale``,
    this is the advantage that Liu et al. propose (2025, arXiv 2503.20783; `dr_grpo` in recipes): unlike GRPO,
    it does not give a larger weight to prompts whose answers have nearly equal rewards. The standard
    deviation is unbiased, as in TRL and verl. Raises ValueError for K < 2.
    """
    relative = _relative(rewards)
    centred = relative - relative.mean(dim=1, keepdim=True)
    return centred / (relative.std(dim=1, keepdim=True) + STD_EPSILON) if scale else centred


def group_advantages(rewards: Tensor, *, kind: Advantage, normalise: bool) -> Tensor:
    """Return the advantages, computed by the method that the recipe's ``advantage`` selects. If
    ``normalise``, the advantages are shifted and scaled to mean 0 and standard deviation 1 over all answers
    of the rollout, as ``normalize_advantages`` does in TRL.
    """
    match kind:
        case "rloo":
            advantages = leave_one_out(rewards)
        case "grpo":
            advantages = group_relative(rewards, scale=True)
        case "dr_grpo":
            advantages = group_relative(rewards, scale=False)
    if not normalise:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + STD_EPSILON)


def share_without_spread(rewards: Tensor) -> float:
    """Return the share of prompts whose answers all have the same reward, up to rounding. These prompts
    contribute almost nothing to the policy gradient."""
    return float((rewards.std(dim=1) < STD_EPSILON).float().mean())


def token_weights(lengths: Tensor, *, kind: Aggregation, answers: int, tokens: int, limit: int) -> Tensor:
    """Return, for each of B answers with these ``lengths``, the weight of each of its tokens. The result has
    shape (B,).

    The loss of a minibatch of ``answers`` answers and ``tokens`` tokens is the weighted sum of its token
    losses. The weights depend on the entire minibatch. The loss therefore does not depend on how the
    minibatch is split into micro-batches.

    - token_mean: every token has the same weight, 1 / tokens (DAPO, arXiv 2503.14476, and PPO here).
    - answer_mean: every answer has the same weight, so each of its tokens has the weight 1 / (length ·
      answers). This is the loss of GRPO (arXiv 2402.03300). Tokens of long answers count less.
    - fixed_length: every token has the weight 1 / (limit · answers), where ``limit`` is the maximum length of
      an answer. This is the loss of Liu et al. 2025 (arXiv 2503.20783; `dr_grpo` in TRL), which has no length
      bias.
    """
    match kind:
        case "token_mean":
            return lengths.new_full(lengths.shape, 1.0 / tokens, dtype=torch.float32)
        case "answer_mean":
            return 1.0 / (lengths.to(torch.float32) * answers)
        case "fixed_length":
            return lengths.new_full(lengths.shape, 1.0 / (limit * answers), dtype=torch.float32)


def _relative(rewards: Tensor) -> Tensor:
    """Return the rewards minus the first reward of their prompt. Differences stay the same, and equal rewards
    become exactly 0. Otherwise, the mean of equal rewards could differ from them by a rounding error, which
    Adam would amplify."""
    answers = rewards.shape[1]
    if answers < 2:
        raise ValueError(
            f"an answer is compared with the other answers to its prompt, but there is only {answers} per "
            "prompt; responses_per_prompt must be at least 2"
        )
    return rewards - rewards[:, :1]
