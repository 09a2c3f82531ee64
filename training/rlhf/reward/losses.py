"""Losses on one batch of rankings: pure functions on tensors.

For B rankings of at most K responses, the losses read two (B, K) tensors:

- ``rewards`` contains one reward per response. Entries where ``tiers`` is -1 are padding and are never read.
- ``tiers`` contains integers: 0 for the best tier, 1 for the next, and so on. Equal numbers mean a tie, and
  -1 marks padding. UNRANKED_TIER marks responses that a top-k ranking left unranked. Unranked responses are
  below all ranked responses. The order among unranked responses is unknown, so they are not treated as tied.

Every preference loss returns one value per ranking, in a tensor of shape (B,). The value is the mean over the
ranking's pairs or, for Plackett–Luce, over its choices. A ranking of nine responses therefore has the same
weight as a ranking of two. Otherwise, the 36 correlated pairs of nine responses would dominate (InstructGPT,
arXiv 2203.02155 §3.4). If a ranking carries no information for a loss, the ranking's loss is 0. An example is
a ranking whose responses are all tied, if ties are ignored. In the formulas, d = r_i - r_j and i is preferred
to j.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.data.rankings import UNRANKED_TIER


def preferred_pairs(tiers: Tensor) -> Tensor:
    """Return a bool mask of the strict preferences in each ranking.

    The mask has shape (B, K, K). Entry [b, i, j] is true if response i is in a better tier than response j.
    """
    real = tiers >= 0
    return (tiers[:, :, None] < tiers[:, None, :]) & real[:, :, None] & real[:, None, :]


def stated_pairs(tiers: Tensor) -> Tensor:
    """Return a mask of the pairs that a ranking's stated strength refers to. In each of these pairs, one
    response is in the best tier and the other response is in the next tier.

    The next tier can be UNRANKED_TIER. The mask is a bool tensor of shape (B, K, K).
    """
    first = tiers == 0
    below = tiers.masked_fill(tiers <= 0, UNRANKED_TIER + 1).amin(dim=1, keepdim=True)
    return first[:, :, None] & ((tiers == below) & (tiers > 0))[:, None, :]


def tied_pairs(tiers: Tensor) -> Tensor:
    """Return a bool mask of the tied pairs, with shape (B, K, K). Each pair occurs once, with i < j."""
    real = (tiers >= 0) & (tiers != UNRANKED_TIER)
    tied = (tiers[:, :, None] == tiers[:, None, :]) & real[:, :, None] & real[:, None, :]
    return tied.triu(diagonal=1)


def _differences(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return d[b, i, j] = r_i - r_j. Padding is zeroed first. Otherwise, 0 * inf or 0 * nan would make the
    gradient nan."""
    _check_shapes(rewards, tiers)
    real = rewards.masked_fill(tiers < 0, 0.0)
    return real[:, :, None] - real[:, None, :]


def _as_stated(won: Tensor, lost: Tensor, label_smoothing: float, reliability: Tensor | None) -> Tensor:
    """Combine two losses for each pair: ``won`` for the pair as stated, and ``lost`` for the reversed pair.

    ``label_smoothing`` is the probability that a label is incorrect, regardless of the model. The two losses
    are averaged with this weight. ``reliability``, with shape (B,), contains the log-odds that the annotator
    is correct. With ``reliability``, the two probabilities are averaged instead of the two losses (CrowdBT).
    A verdict that the model finds implausible therefore has less influence.
    """
    if not 0.0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing is {label_smoothing}, but must be at least 0 and below 0.5")
    if reliability is not None:
        if label_smoothing:
            raise ValueError(
                "label_smoothing and reliability both specify how often a label is incorrect: set only one"
            )
        odds = reliability[:, None, None]
        return -torch.logaddexp(logsigmoid(odds) - won, logsigmoid(-odds) - lost)
    return won if label_smoothing == 0.0 else (1.0 - label_smoothing) * won + label_smoothing * lost


def _mean_per_ranking(values: Tensor, pairs: Tensor) -> Tensor:
    """Return each ranking's mean of ``values`` over the pairs in the mask.

    The result has shape (B,) and is 0 for a ranking without pairs in the mask. Both arguments have shape
    (B, K, K).
    """
    counts = pairs.sum(dim=(1, 2))
    return values.masked_fill(~pairs, 0.0).sum(dim=(1, 2)) / counts.clamp(min=1)


def bradley_terry(
    rewards: Tensor,
    tiers: Tensor,
    *,
    label_smoothing: float = 0.0,
    reliability: Tensor | None = None,
    margins: Tensor | None = None,
) -> Tensor:
    """Return the Bradley–Terry loss, -log sigma(d), averaged over all pairs of responses in different tiers.

    The result has shape (B,), in nats per pair. Ties are excluded.

    The loss is that of Bradley & Terry 1952. The mean over a ranking's pairs is eq. 1 of InstructGPT (arXiv
    2203.02155). Label smoothing follows eq. 3 of Mitchell's note on conservative DPO. Raises ValueError if
    the shapes differ or smoothing is outside [0, 0.5).

    ``reliability``, with shape (B,), contains for each ranking the log-odds that its annotator k states their
    true preference. With ``reliability``, the loss is CrowdBT's (Chen et al. 2013, WSDM). CrowdBT's
    probability is P(k states i > j) = eta_k sigma(d) + (1 - eta_k) sigma(-d), where eta_k =
    sigma(reliability).

    With ``margins``, of shape (B,), the loss is -log sigma(d - m) for the pairs that the stated strength
    refers to. The loss for other pairs is unchanged (Llama 2, arXiv 2307.09288 §3.2.2). With a margin, the
    probabilities of the two outcomes sum to less than one. The loss with margins is therefore not a
    likelihood and cannot be combined with smoothing or a reliability.
    """
    d = _differences(rewards, tiers)
    pairs = preferred_pairs(tiers)
    if margins is not None:
        if label_smoothing or reliability is not None:
            raise ValueError(
                "a loss with margins is not a likelihood: set neither label_smoothing nor reliability"
            )
        d = d - margins[:, None, None] * stated_pairs(tiers)
    return _mean_per_ranking(_as_stated(-logsigmoid(d), -logsigmoid(-d), label_smoothing, reliability), pairs)


def rao_kupper(
    rewards: Tensor,
    tiers: Tensor,
    threshold: Tensor,
    *,
    label_smoothing: float = 0.0,
    reliability: Tensor | None = None,
) -> Tensor:
    """Return the loss for pairs with ties, after Rao & Kupper 1967.

    The model is P(i > j) = sigma(d - h) and P(tie) = sigma(d - h) sigma(-d - h) (e^{2h} - 1). ``threshold``
    is the scalar tensor h, in reward units, and must be at least 0. Ties become likely if the reward
    difference is below ``threshold``. For h = 0, the model is Bradley–Terry, where a tie has probability 0.
    The result has shape (B,), in nats per pair, including tied pairs. Ignoring ties biases the rewards (arXiv
    2410.05328). Smoothing and ``reliability`` (see `bradley_terry`) reverse only strict pairs, because a
    reversed tie is still a tie.
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    strict = _as_stated(-logsigmoid(d - threshold), -logsigmoid(-d - threshold), label_smoothing, reliability)
    tie = -(logsigmoid(d - threshold) + logsigmoid(-d - threshold) + _log_expm1(2.0 * threshold))
    return _mean_per_ranking(torch.where(tied, tie, strict), won | tied)


def davidson(
    rewards: Tensor,
    tiers: Tensor,
    log_nu: Tensor,
    *,
    label_smoothing: float = 0.0,
    reliability: Tensor | None = None,
) -> Tensor:
    """Return the loss for pairs with ties, after Davidson 1970.

    The model is P(i > j) = e^{d/2} / Z and P(tie) = nu / Z, where Z = e^{d/2} + e^{-d/2} + nu. ``log_nu`` is
    a scalar tensor. For responses of equal reward, ``log_nu`` is the log-odds of a tie against a win. The
    result has shape (B,), in nats per pair, including tied pairs. In the limit nu -> 0, the model is
    Bradley–Terry.
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    log_z = torch.logsumexp(torch.stack((d / 2, -d / 2, log_nu.expand_as(d))), dim=0)
    strict = _as_stated(log_z - d / 2, log_z + d / 2, label_smoothing, reliability)
    return _mean_per_ranking(torch.where(tied, log_z - log_nu, strict), won | tied)


def cumulative_strength(
    rewards: Tensor,
    tiers: Tensor,
    strengths: Tensor,
    thresholds: Tensor,
    *,
    ties: bool,
    label_smoothing: float = 0.0,
    reliability: Tensor | None = None,
) -> Tensor:
    """Return the loss for stated strengths of preference.

    The model uses cumulative logits with symmetric thresholds: P(stated <= s) = sigma(theta_s - d). An
    annotator's statement on a pair lies on the signed scale from -L to L. The value 0 is a tie and occurs
    only with ``ties``. Reversing the pair reverses the scale, so the thresholds are symmetric about 0.
    ``thresholds``, with shape (L,), contains their upper half, a_0 < a_1 < … < a_{L-1}, in reward units. For
    s < L, the probability of strength s is P(s) = sigma(a_s - d) - sigma(a_{s-1} - d). For the highest level,
    P(L) = sigma(d - a_{L-1}). Without ``ties``, the scale has 2 L levels, and the middle threshold a_0 must
    be 0. With ties, the scale has 2 L + 1 levels, and a_0 must be above 0. The middle level is then a tie,
    with P(tie) = sigma(a_0 - d) - sigma(-a_0 - d). This probability equals Rao and Kupper's P(tie). The
    source for cumulative logits is McCullagh 1980. The sources for paired comparisons are Tutz 1986 and
    Agresti 1992 (Applied Statistics 41, 287-297).

    ``strengths`` is an integer tensor of shape (B,). Each value is the level, from 1 to L, stated for the
    ranking's best tier over the next. The value 0 means that no level was stated. A strict preference without
    a stated strength contributes P(any strength) = sigma(d - a_0), so no strength is imputed. For a batch
    without strengths, the loss is Rao–Kupper's with ties and Bradley–Terry's without ties. The result has
    shape (B,), in nats per pair. Smoothing and ``reliability`` reverse a pair together with its strength (see
    `bradley_terry`).
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    level = (strengths[:, None, None] * stated_pairs(tiers)).expand(d.shape)
    lower = torch.where(level > 0, thresholds[(level - 1).clamp(min=0)], thresholds[0])
    top = (level == 0) | (level == thresholds.numel())
    upper = thresholds[level.clamp(max=thresholds.numel() - 1)]
    # The product sigma(u) sigma(-l) (1 - e^{l - u}) equals sigma(u) - sigma(l). Unlike the difference, the
    # product has no cancellation for large d. At the top level, u is infinite and only sigma(-l) remains. A
    # width of 1 is used there, so that the gradient of the unused branch stays finite.
    width = torch.where(top, torch.ones_like(upper), upper - lower)

    def strict(signed: Tensor) -> Tensor:
        bounded = logsigmoid(upper - signed) + torch.log(-torch.expm1(-width))
        return -(logsigmoid(signed - lower) + torch.where(top, torch.zeros_like(bounded), bounded))

    stated = _as_stated(strict(d), strict(-d), label_smoothing, reliability)
    if not ties:
        return _mean_per_ranking(stated, won)
    band = thresholds[0]
    tie = -(logsigmoid(band - d) + logsigmoid(band + d) + torch.log(-torch.expm1(-2.0 * band)))
    return _mean_per_ranking(torch.where(tied, tie, stated), won | tied)


def beta_prior(reliability: Tensor, *, right: float, wrong: float) -> Tensor:
    """Return the penalty that a Beta prior adds for each reliability.

    The penalty is the negative logarithm of the Beta(``right``, ``wrong``) density at sigma(``reliability``),
    up to a constant. ``reliability`` can have any shape.

    The prior has the effect of ``right - 1`` correct verdicts and ``wrong - 1`` incorrect ones. CrowdBT
    requires ``right > wrong``. Otherwise, negated rewards with reversed reliabilities explain the rankings
    equally well (Chen et al. 2013).
    """
    return -(right - 1.0) * logsigmoid(reliability) - (wrong - 1.0) * logsigmoid(-reliability)


def plackett_luce(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return the Plackett–Luce loss over the entire order.

    The loss of one choice is L minus the chosen reward, where L is the logsumexp of all rewards that are
    still available. The result has shape (B,) and is the mean over choices, in nats per choice. Its scale
    therefore matches the scale of the pair losses. For K = 2, the loss equals Bradley–Terry's. The responses
    in a tier are chosen one after another from the same remaining set (Breslow's rule). The last tier
    contributes nothing, because the remaining responses come last with probability one. A top-k ranking is
    therefore represented as k tiers, plus a last tier with all other responses. The last tier's number is
    UNRANKED_TIER or any other number above the k tiers. The sources are Plackett 1975, Luce 1959 and, for
    rankings of K rewards, arXiv 2301.11270 eq. 4.
    """
    _check_shapes(rewards, tiers)
    real = tiers >= 0
    chosen = real & (tiers < tiers.amax(dim=1, keepdim=True))
    # [b, i, j] is true if j is still available when i is chosen
    left = (tiers[:, None, :] >= tiers[:, :, None]) & real[:, None, :]
    # Without this line, the gradient in a padded row (a logsumexp over the empty set) would be nan.
    left = left | ~real[:, :, None]
    safe = rewards.masked_fill(~real, 0.0)
    remainder = safe[:, None, :].expand(left.shape).masked_fill(~left, -torch.inf).logsumexp(dim=2)
    losses = (remainder - safe).masked_fill(~chosen, 0.0)
    return losses.sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def centring(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return a penalty that keeps the rewards' arbitrary constant near 0.

    The penalty is the mean of (r_i + r_j)^2 over all pairs. The result has shape (B,). The formula is eq. 2
    of arXiv 2312.09244. For K = 2, the penalty equals that of TRL's ``center_rewards_coefficient``.
    """
    real = (tiers >= 0)[:, :, None] & (tiers >= 0)[:, None, :]
    safe = rewards.masked_fill(tiers < 0, 0.0)
    return _mean_per_ranking((safe[:, :, None] + safe[:, None, :]) ** 2, real.triu(diagonal=1))


def pair_accuracy(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return the share of strict preferences that the rewards agree with. A pair with equal rewards
    contributes one half.

    The result has shape (B,) and is nan for a ranking without such pairs.
    """
    d = _differences(rewards, tiers)
    pairs = preferred_pairs(tiers)
    agreed = (d > 0).to(rewards.dtype) + 0.5 * (d == 0).to(rewards.dtype)
    return agreed.masked_fill(~pairs, 0.0).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))


def _log_expm1(x: Tensor) -> Tensor:
    """Return log(e^x - 1) for x > 0.

    For large x, the result approaches x without overflow. For small x, the result approaches log x without
    cancellation.
    """
    return x + torch.log(-torch.expm1(-x))


def _check_shapes(rewards: Tensor, tiers: Tensor) -> None:
    if rewards.shape != tiers.shape or rewards.ndim != 2:
        shapes = f"rewards {tuple(rewards.shape)} and tiers {tuple(tiers.shape)}"
        raise ValueError(f"{shapes} must both have the shape (rankings, responses)")
