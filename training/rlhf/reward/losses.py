"""Losses on one batch of rankings: pure functions on tensors.

Shapes, for B rankings of at most K responses:

- ``rewards`` (B, K): one reward per response. Entries where ``tiers`` is -1 are padding and are never read.
- ``tiers`` (B, K), integer: 0 for the best tier, 1 for the next, and so on; equal numbers mean a tie; -1 is
  padding. UNRANKED_TIER marks responses that a top-k ranking left unranked. Such responses are below all
  others; their mutual order is unknown, so they are not tied.

Every preference loss returns a tensor of shape (B,), with one value per ranking, averaged over the pairs of
that ranking. A ranking of nine responses therefore has the same weight as a ranking of two, and its 36
correlated pairs do not dominate (InstructGPT, arXiv 2203.02155 §3.4). A ranking that carries no information
for a loss (all responses tied, if ties are ignored) has a loss of 0. In the formulas, d = r_i - r_j and i
is preferred to j.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.data.rankings import UNRANKED_TIER


def preferred_pairs(tiers: Tensor) -> Tensor:
    """Return a bool mask of the strict preferences in each ranking, with shape (B, K, K): [b, i, j] is true
    if i is in a better tier than j."""
    real = tiers >= 0
    return (tiers[:, :, None] < tiers[:, None, :]) & real[:, :, None] & real[:, None, :]


def stated_pairs(tiers: Tensor) -> Tensor:
    """Return a mask of the pairs that a ranking's stated strength refers to: those between its best tier and
    the next.

    The next tier can be UNRANKED_TIER. The mask is a bool tensor of shape (B, K, K).
    """
    first = tiers == 0
    below = tiers.masked_fill(tiers <= 0, UNRANKED_TIER + 1).amin(dim=1, keepdim=True)
    return first[:, :, None] & ((tiers == below) & (tiers > 0))[:, None, :]


def tied_pairs(tiers: Tensor) -> Tensor:
    """Return a bool mask of the tied pairs, with shape (B, K, K) and each pair once (i < j)."""
    real = (tiers >= 0) & (tiers != UNRANKED_TIER)
    tied = (tiers[:, :, None] == tiers[:, None, :]) & real[:, :, None] & real[:, None, :]
    return tied.triu(diagonal=1)


def _differences(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return d[b, i, j] = r_i - r_j. Padding is zeroed first: otherwise 0 * inf or 0 * nan would make the
    gradient nan."""
    _check_shapes(rewards, tiers)
    real = rewards.masked_fill(tiers < 0, 0.0)
    return real[:, :, None] - real[:, None, :]


def _as_stated(won: Tensor, lost: Tensor, label_smoothing: float, reliability: Tensor | None) -> Tensor:
    """Mix the loss of each pair as stated (``won``) with that of the reversed pair (``lost``).

    ``label_smoothing``, the probability that a label is incorrect regardless of the model, mixes the losses.
    ``reliability`` (B,), the log-odds that the annotator is correct, mixes the probabilities (CrowdBT): a
    verdict that the model finds implausible then counts less.
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
    """Return each ranking's mean of ``values`` over the pairs in the mask, with shape (B,); 0 for a ranking
    without such pairs. Both arguments have shape (B, K, K)."""
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
    """Return the Bradley–Terry loss over all pairs across tiers, -log sigma(d), in nats per pair, with
    shape (B,). Ties are excluded.

    Sources: Bradley & Terry 1952; for the mean over a ranking's pairs, InstructGPT, arXiv 2203.02155 eq. 1;
    for label smoothing, conservative DPO eq. 3. Raises ValueError if the shapes differ or smoothing is
    outside [0, 0.5).

    With ``reliability`` (B,), the log-odds that an annotator states their true preference, the loss is
    CrowdBT's (Chen et al. 2013, WSDM): P(k states i > j) = eta_k sigma(d) + (1 - eta_k) sigma(-d), where
    eta_k = sigma(reliability).

    With ``margins`` (B,), the loss is -log sigma(d - m) for the pairs that the stated strength refers to;
    other pairs are unchanged (Llama 2, arXiv 2307.09288 §3.2.2). The loss with margins is not a likelihood
    (the probabilities of the two outcomes sum to less than one), so it cannot be combined with smoothing or a
    reliability.
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
    """Return the loss for pairs with ties (Rao & Kupper 1967): P(i > j) = sigma(d - h) and P(tie) = sigma(d
    - h) sigma(-d - h) (e^{2h} - 1).

    ``threshold`` h (scalar tensor, >= 0, in reward units) is the reward difference below which ties become
    likely. For h = 0, the model is Bradley–Terry, where a tie has probability 0. The result has shape (B,),
    in nats per pair, including tied pairs. Ignoring ties biases the rewards (arXiv 2410.05328). Smoothing
    and ``reliability`` (see `bradley_terry`) reverse only strict pairs: a reversed tie is a tie.
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
    """Return the loss for pairs with ties (Davidson 1970): P(i > j) = e^{d/2} / Z and P(tie) = nu / Z,
    where Z = e^{d/2} + e^{-d/2} + nu.

    ``log_nu`` (scalar tensor) is the log-odds of a tie against a win between responses of equal reward. The
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
    """Return the loss for stated strengths of preference, by cumulative logits with symmetric thresholds:
    P(stated <= s) = sigma(theta_s - d).

    An annotator's statement on a pair lies on the signed scale -L … L; 0 is a tie and occurs only with
    ``ties``. Reversing the pair reverses the scale, so the thresholds are symmetric about 0, and their
    upper half determines them: ``thresholds`` (L,), a_0 < a_1 < … < a_{L-1}, in reward units. P(strength s)
    = sigma(a_s - d) - sigma(a_{s-1} - d) for s < L, and P(L) = sigma(d - a_{L-1}). Without ``ties``, a_0
    must be 0, the middle threshold of the 2 L levels. With ties, a_0 > 0, and P(tie) = sigma(a_0 - d) -
    sigma(-a_0 - d) is the middle of 2 L + 1 levels, which is Rao & Kupper's tie. McCullagh 1980 (cumulative
    logits); Tutz 1986 and Agresti 1992 (Applied Statistics 41, 287-297) for paired comparisons.

    ``strengths`` (B,), integer: the level 1 … L stated for the ranking's best tier over the next, or 0 if
    no level was stated. A strict preference without a stated strength contributes P(any strength) = sigma(d -
    a_0): no strength is imputed, and a batch without strengths reduces to Rao–Kupper or, without ties,
    Bradley–Terry. The result has shape (B,), in nats per pair. Smoothing and ``reliability`` reverse
    a pair together with its strength (see `bradley_terry`).
    """
    d = _differences(rewards, tiers)
    won, tied = preferred_pairs(tiers), tied_pairs(tiers)
    level = (strengths[:, None, None] * stated_pairs(tiers)).expand(d.shape)
    lower = torch.where(level > 0, thresholds[(level - 1).clamp(min=0)], thresholds[0])
    top = (level == 0) | (level == thresholds.numel())
    upper = thresholds[level.clamp(max=thresholds.numel() - 1)]
    # sigma(u) - sigma(l) = sigma(u) sigma(-l) (1 - e^{l - u}): no cancellation, however large d is. At the
    # top level, u is infinite and only sigma(-l) remains; the 1 keeps the gradient of the unused branch
    # finite.
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
    """Return the negative logarithm of the Beta(``right``, ``wrong``) density of sigma(``reliability``), up
    to a constant. ``reliability`` can have any shape.

    The prior has the effect of ``right - 1`` correct verdicts and ``wrong - 1`` incorrect ones. CrowdBT
    requires ``right > wrong``: otherwise negated rewards with reversed reliabilities explain the rankings
    equally well (Chen et al. 2013).
    """
    return -(right - 1.0) * logsigmoid(reliability) - (wrong - 1.0) * logsigmoid(-reliability)


def plackett_luce(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return the Plackett–Luce loss over the entire order: the mean over choices of [logsumexp of the
    remaining rewards - chosen reward].

    The result has shape (B,), in nats per choice, so that its scale matches that of the pair losses and,
    for K = 2, the loss equals Bradley–Terry. The responses in a tier are chosen one after another from the
    same remaining set (Breslow's rule). The last tier contributes nothing, because the remaining responses
    come last with probability one. A top-k ranking is therefore represented as k tiers, with the rest in
    one further tier (UNRANKED_TIER, or any larger number). Sources: Plackett 1975; Luce 1959; for rankings
    of K rewards, arXiv 2301.11270 eq. 4.
    """
    _check_shapes(rewards, tiers)
    real = tiers >= 0
    chosen = real & (tiers < tiers.amax(dim=1, keepdim=True))
    # [b, i, j] is true if j is still available when i is chosen
    left = (tiers[:, None, :] >= tiers[:, :, None]) & real[:, None, :]
    # Otherwise the gradient in a padded row (a logsumexp over the empty set) would be nan.
    left = left | ~real[:, :, None]
    safe = rewards.masked_fill(~real, 0.0)
    remainder = safe[:, None, :].expand(left.shape).masked_fill(~left, -torch.inf).logsumexp(dim=2)
    losses = (remainder - safe).masked_fill(~chosen, 0.0)
    return losses.sum(dim=1) / chosen.sum(dim=1).clamp(min=1)


def centring(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return the mean over all pairs of (r_i + r_j)^2, a penalty that keeps the rewards' arbitrary constant
    near 0.

    The result has shape (B,). The penalty is that of arXiv 2312.09244 eq. 2 and, for K = 2, that of TRL's
    ``center_rewards_coefficient``.
    """
    real = (tiers >= 0)[:, :, None] & (tiers >= 0)[:, None, :]
    safe = rewards.masked_fill(tiers < 0, 0.0)
    return _mean_per_ranking((safe[:, :, None] + safe[:, None, :]) ** 2, real.triu(diagonal=1))


def pair_accuracy(rewards: Tensor, tiers: Tensor) -> Tensor:
    """Return the share of strict preferences that the rewards agree with; a pair with equal rewards
    contributes one half.

    The result has shape (B,) and is nan for a ranking without such pairs.
    """
    d = _differences(rewards, tiers)
    pairs = preferred_pairs(tiers)
    agreed = (d > 0).to(rewards.dtype) + 0.5 * (d == 0).to(rewards.dtype)
    return agreed.masked_fill(~pairs, 0.0).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2))


def _log_expm1(x: Tensor) -> Tensor:
    """Return log(e^x - 1) for x > 0, without overflow for large x (where the result approaches x) or
    cancellation for small x (where the result approaches log x)."""
    return x + torch.log(-torch.expm1(-x))


def _check_shapes(rewards: Tensor, tiers: Tensor) -> None:
    if rewards.shape != tiers.shape or rewards.ndim != 2:
        shapes = f"rewards {tuple(rewards.shape)} and tiers {tuple(tiers.shape)}"
        raise ValueError(f"{shapes} must both have the shape (rankings, responses)")
