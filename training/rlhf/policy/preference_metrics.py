"""Metrics of pairs of a preferred (chosen) and a rejected response, as sums that can be added over
micro-batches."""

from __future__ import annotations

from collections import Counter

from torch import Tensor

from training.rlhf.policy.preference_rows import Responses
from training.rlhf.reward.losses import preferred_pairs


def pair_sums(rewards: Tensor, responses: Responses) -> dict[str, float]:
    """Return sums over the pairs of responses in different tiers. ``rewards`` has shape (B, K)."""
    pairs, log_probs = preferred_pairs(responses.tiers), responses.log_probs.detach()
    # For each response: in how many pairs it is chosen, and in how many it is rejected.
    chosen, rejected = pairs.sum(dim=2), pairs.sum(dim=1)
    margins = (rewards[:, :, None] - rewards[:, None, :])[pairs]
    return {
        "pairs": float(pairs.sum()),
        "rewards/chosen": float((rewards * chosen).sum()),
        "rewards/rejected": float((rewards * rejected).sum()),
        "rewards/accuracies": float((margins > 0).sum() + 0.5 * (margins == 0).sum()),
        "rewards/margins": float(margins.sum()),
        "logps/chosen": float((log_probs * chosen).sum()),
        "logps/rejected": float((log_probs * rejected).sum()),
    }


def pair_metrics(sums: Counter[str]) -> dict[str, float]:
    """Return the means over the pairs, or an empty dictionary if there are only ties."""
    n = sums["pairs"]
    return {name: sums[name] / n for name in sums if name.startswith(("rewards/", "logps/"))} if n else {}
