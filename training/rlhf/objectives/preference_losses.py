"""Losses that fit a policy to preferences directly: DPO and IPO. Pure functions on tensors.

For B rankings of at most K responses, ``ratios`` has shape (B, K) and contains each response's log-ratio in
nats, log pi(y|x) - log pi_ref(y|x). With length normalisation, the log-ratio is divided by the number of
response tokens (length-normalised DPO of Tülu 3, arXiv 2411.15124, section 5). ``tiers``, with shape (B, K),
is as in `reward.losses`: 0 is the best tier, equal numbers are ties, UNRANKED_TIER marks responses that are
below all tiers but not tied with each other, and -1 is padding, which is never read.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.reward.losses import preferred_pairs, tied_pairs

PairLoss = Literal["dpo", "ipo"]


def pair_loss(margins: Tensor, *, loss: PairLoss, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Return the loss of each pair. All tensors have the same shape.

    ``margins`` contains h = ratio(preferred) - ratio(other).

    - dpo: -log sigma(beta h), in nats: eq. 7 of arXiv 2305.18290.
    - ipo: (h - 1 / (2 beta))²: eq. 17 of arXiv 2310.12036, whose tau is beta.

    ``label_smoothing`` is the probability e that a stated preference is the reverse of the true one. The loss
    is then the expectation (1 - e) l(h) + e l(-h). For dpo, this is conservative DPO (eq. 3 of Mitchell, "A
    note on DPO with noisy preferences & relationship to IPO", 2023). With e = 1/2, the expectation is the
    loss of a tied pair.
    """
    if label_smoothing == 0.0:
        return _as_stated(margins, loss, beta)
    reversed_ = _as_stated(-margins, loss, beta)
    return (1.0 - label_smoothing) * _as_stated(margins, loss, beta) + label_smoothing * reversed_


def ranking_loss(
    ratios: Tensor,
    tiers: Tensor,
    *,
    loss: PairLoss,
    beta: float,
    label_smoothing: float = 0.0,
    ties: Literal["ignore", "half"] = "ignore",
) -> Tensor:
    """Return the mean loss over each ranking's pairs, with shape (B,). A ranking without pairs has loss 0.

    As in the reward model's losses, the mean gives a ranking of nine responses the same weight as a ranking
    of two. All pairs of responses in different tiers count. With ``ties="half"``, a tied pair also counts, as
    half a preference in each direction: l(h) / 2 + l(-h) / 2. This loss is lowest at h = 0. All pairs of a
    ranking have the same weight, so a tied pair weighs as much as a preference.
    """
    real = ratios.masked_fill(tiers < 0, 0.0)  # 0 * nan would make the gradient nan
    margins = real[:, :, None] - real[:, None, :]
    pairs = preferred_pairs(tiers)
    values = pair_loss(margins, loss=loss, beta=beta, label_smoothing=label_smoothing)
    summed = values.masked_fill(~pairs, 0.0).sum(dim=(1, 2))
    counts = pairs.sum(dim=(1, 2))
    if ties == "half":
        tied = tied_pairs(tiers)
        halves = pair_loss(margins, loss=loss, beta=beta, label_smoothing=0.5)
        summed = summed + halves.masked_fill(~tied, 0.0).sum(dim=(1, 2))
        counts = counts + tied.sum(dim=(1, 2))
    return summed / counts.clamp(min=1)


def best_response_loss(log_probs: Tensor, lengths: Tensor, tiers: Tensor) -> Tensor:
    """Return the negative log-likelihood per token of each ranking's best tier, in nats, with shape (B,).

    ``log_probs``, with shape (B, K), contains the sums over each response's tokens, and ``lengths`` contains
    the numbers of tokens. The loss is averaged over the responses in the best tier. For a pair, this loss is
    the supervised term of Iterative RPO (eq. 1 of arXiv 2404.19733, where alpha weights the other term). A
    ranking in which no response is preferred to another contributes 0.
    """
    best = (tiers == 0) & preferred_pairs(tiers).any(dim=(1, 2))[:, None]
    per_token = -log_probs / lengths.clamp(min=1)
    return per_token.masked_fill(~best, 0.0).sum(dim=1) / best.sum(dim=1).clamp(min=1)


def _as_stated(margins: Tensor, loss: PairLoss, beta: float) -> Tensor:
    if loss == "dpo":
        return -logsigmoid(beta * margins)
    return torch.square(margins - 1.0 / (2.0 * beta))
