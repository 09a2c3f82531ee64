"""Compares the policy in training with the engine that sampled a rollout (`objectives.importance`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from training.rlhf.core import distributed
from training.rlhf.generation.interface import Completion
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.objectives.importance import sampler_gap, truncated_weights
from training.rlhf.recipes.rollouts import RolloutConfig

if TYPE_CHECKING:
    from training.rlhf.rollouts.rollout import MicroBatch


def refuse_unknown_sampler(
    config: RolloutConfig, answers: Sequence[Sequence[Completion]], temperature: float
) -> None:
    """Raise ServerUnusable if the answers can't be weighted, because the server did not return their
    log-probabilities at the sampling temperature."""
    if not config.server or config.importance_cap is None:
        return
    if any(one.log_probs is None for group in answers for one in group):
        raise ServerUnusable(
            f"the server does not return log-probabilities at the sampling temperature {temperature:g}. Start"
            " vLLM with --logprobs-mode processed_logprobs, set the temperature to 1, or leave importance_cap"
            " empty"
        )


def sampler_log_probs(
    answers: Sequence[Sequence[Completion]], numbers: Sequence[int], *, device: torch.device
) -> Tensor | None:
    """Return the engine's log-probabilities of the tokens of these rows, one row after another. Return None
    if the engine returned no log-probabilities for one or more of these rows."""
    flat = [one.log_probs for group in answers for one in group]
    found = [flat[i] for i in numbers]
    if any(one is None for one in found):
        return None
    return torch.tensor([value for one in found for value in one or ()], device=device)


def sampler_metrics(config: RolloutConfig, seen: Sequence[MicroBatch]) -> dict[str, float]:
    """Return metrics of the gap between the engine's and the policy's log-probabilities. With an
    `importance_cap`, also return the mean of the tokens' truncated weights and the share of weights that
    reach the cap. Without log-probabilities from the engine, there are no metrics."""
    sampler = [one.sampler for one in seen if one.sampler is not None]
    if distributed.anywhere(len(sampler) < len(seen)):
        return {}
    own, theirs = distributed.joined([one.log_probs[one.mask] for one in seen]), distributed.joined(sampler)
    metrics = sampler_gap(own, theirs)
    if config.importance_cap is not None:
        weights = truncated_weights(own, theirs, cap=config.importance_cap)
        metrics["sampler/weight_mean"] = float(weights.mean())
        metrics["sampler/capped_share"] = float((weights >= config.importance_cap).float().mean())
    return metrics
