"""DPO's reference log-probabilities, its loss on rankings, and the sums for its metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.sharding import in_step
from training.rlhf.objectives.preference_losses import best_response_loss, ranking_loss
from training.rlhf.policy.preference_metrics import pair_sums
from training.rlhf.policy.preference_rows import RankingRows, score_responses
from training.rlhf.recipes.dpo import DPOConfig


@torch.no_grad()
def reference_of(
    policy: PreTrainedModel, rows: RankingRows, part: Sequence[int], *, spare: Sequence[int]
) -> list[tuple[list[int], Tensor]]:
    """Return rankings with the log-probabilities of their responses under ``policy``. ``part`` is divided
    into micro-batches if the limit of token positions has been lowered. A sharded policy also processes
    ``spare``, because all processes must make the same number of passes. Raises UnusableInput if a
    log-probability is not finite."""
    found: list[tuple[list[int], Tensor]] = []

    def process(some: list[int], counts: bool) -> None:
        responses = score_responses(policy, rows, some)
        if counts:
            found.append((some, responses.log_probs[responses.slots].cpu()))

    in_step(policy, rows.split(part), lambda: list(spare), process)
    if not all(bool(log_probs.isfinite().all()) for _, log_probs in found):
        raise UnusableInput(
            "before training, the policy's log-probability of a response is NaN or infinite in one of these"
            f" rankings: {rows.names(part)}. Use another policy or an earlier version of this policy.",
            FailureKind.MODEL_UNREADABLE,
        )
    return found


def summed_loss(
    config: DPOConfig, policy: PreTrainedModel, reference: Tensor, rows: RankingRows, part: Sequence[int]
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of these rankings' losses, and their contributions to the sums for the step's
    metrics. ``reference`` contains the reference log-probabilities of all responses, with shape (R,)."""
    responses = score_responses(policy, rows, part)
    before = torch.zeros_like(responses.log_probs)
    before[responses.slots] = reference[rows.places(part)].to(before)
    ratios = responses.log_probs - before
    if config.length_normalised:
        ratios = ratios / responses.lengths.clamp(min=1)
    losses = ranking_loss(
        ratios,
        responses.tiers,
        loss=config.loss,
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        ties=config.ties,
    )
    sums = pair_sums(config.beta * ratios.detach(), responses)
    if config.sft_coefficient:
        nll = best_response_loss(responses.log_probs, responses.lengths, responses.tiers)
        nll = nll.masked_fill(responses.all_bad, 0.0)
        losses = losses + config.sft_coefficient * nll
        sums["nll_loss"] = float((nll.detach() * responses.weights).sum())
    loss = (losses * responses.weights).sum()
    return loss, sums | {"loss": float(loss.detach()), "positions": float(responses.positions)}
