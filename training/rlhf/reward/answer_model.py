"""The answer model, learned together with the rewards: thresholds for ties and strengths, the annotators'
reliabilities, and the effects of display positions.

A snapshot contains strengths as numbers on the project's scale, but not the scale itself. A snapshot's card
describes only the project's current form, and a rankings file has no card. The levels are therefore those
stated in the training rankings, in ascending order. Omitting levels that were never stated loses no
information, because the likelihood would not depend on their thresholds. Some imported files contain
strengths of 0 and negative strengths. A strength below 1 is treated as not stated.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from training.rlhf.data.batching import Group, Stated, stated_in
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import losses

# Maximum number of levels on an annotation scale. A field with more levels than this is probably a
# measurement, such as a score difference.
MOST_LEVELS = 20
TWO_SIDED_95 = 1.96  # number of standard errors on either side of the estimate

SURE = 12.0  # search bound in log-odds: reliabilities from 0.000006 to 0.999994
HALVINGS = 30
CHUNK_RANKINGS = 4096


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """The indices of strength levels and annotators, starting at 1. Index 0 stands for an unknown level or
    annotator."""

    levels: Mapping[int, int] = field(default_factory=dict)
    annotators: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reliability:
    """The probability that an annotator states their true preference, given the rewards, with a 95 %
    confidence interval.

    The interval uses the delta method on the log-odds, with fixed rewards. Each ranking is treated as one
    observation, regardless of its number of pairs. A reward model that has memorised its rankings agrees with
    all annotators. This agreement raises every estimated reliability. If the held-out loss stopped falling
    before training ended, reliabilities should therefore be compared only with one another.
    """

    value: float
    low: float
    high: float
    rankings: int


def answer_key(config: RewardModelConfig, rankings: Sequence[Ranking]) -> AnswerKey:
    """Return the levels and annotators that get learned parameters.

    Raises ValueError if the recipe needs data that the rankings do not contain.
    """
    levels: dict[int, int] = {}
    if config.strength != "ignore":
        stated = Counter(r.strength for r in rankings if r.strength is not None and r.strength >= 1)
        if not stated:
            raise ValueError("no ranking states a strength of 1 or more. Set `strength` to `ignore`")
        if config.strength == "cumulative" and len(stated) > MOST_LEVELS:
            raise ValueError(
                f"the rankings state {len(stated)} different strengths, but a scale has at most "
                f"{MOST_LEVELS} levels. Set `strength` to `ignore`, or reduce the number of levels"
            )
        if config.strength == "margin" and (missing := sorted(set(stated) - set(config.margin_of()))):
            raise ValueError(
                f"`margins` has no entry for strength {missing[0]}, which {stated[missing[0]]}"
                " rankings state. "
                f"List all levels: {', '.join(map(str, sorted(stated)))}"
            )
        levels = {level: number for number, level in enumerate(sorted(stated), start=1)}
    annotators: dict[str, int] = {}
    if config.annotators == "crowd_bt":
        names = sorted({r.annotator for r in rankings if r.annotator})
        if not names:
            raise ValueError(
                "no ranking names its annotator. Set `annotators` to `alike`, or create a snapshot"
                " with every "
                "ranking instead of one ranking per task"
            )
        annotators = {name: number for number, name in enumerate(names, start=1)}
    if config.positions == "learned" and not any(r.in_shown_order for r in rankings):
        raise ValueError(
            "no ranking records the order in which its responses were shown. Imported and merged rankings "
            "lack this order. Set `positions` to `ignore`"
        )
    return AnswerKey(levels, annotators)


class AnswerModel(nn.Module):
    """The learned parameters, and the likelihood of the rankings given the rewards.

    Thresholds are ordered by construction: each threshold is the previous threshold plus a softplus. The
    offset of position 0 is zero. The reliability of unknown annotators is the prior mean and is not
    learned.
    """

    def __init__(self, config: RewardModelConfig, key: AnswerKey, groups: Sequence[Group]) -> None:
        super().__init__()
        self.config, self.key = config, key
        places = max((len(group.responses) for group in groups if group.in_shown_order), default=1)
        usual = math.log(config.prior_right / config.prior_wrong)
        self.tie = nn.Parameter(torch.tensor(_first_tie(config, groups)))  # see `tie_parameter`
        self.steps = nn.Parameter(torch.zeros(max(len(key.levels) - 1, 0)))
        self.reliability = nn.Parameter(torch.full((len(key.annotators),), usual))
        self.offsets = nn.Parameter(torch.zeros(places - 1 if config.positions == "learned" else 0))
        self.usual: Tensor
        self.margins: Tensor
        self.prior_share: Tensor
        self.register_buffer("usual", torch.tensor([usual]))
        margin_of = config.margin_of()
        margins = [margin_of[level] for level in key.levels] if config.strength == "margin" else []
        self.register_buffer("margins", torch.tensor([0.0, *margins]))
        # Each annotator's prior is added once per epoch. It is divided among the annotator's rankings in
        # proportion to the rankings' weights.
        weights = torch.zeros(len(key.annotators) + 1)
        for group in groups:
            weights[group.annotator] += group.weight
        shares = torch.where(weights > 0, 1 / weights, torch.zeros_like(weights))
        shares[0] = 0.0
        self.register_buffer("prior_share", shares)

    def tie_parameter(self) -> Tensor:
        """Return Rao–Kupper's threshold (a softplus of the parameter) or Davidson's log nu."""
        return softplus(self.tie) if self.config.ties == "rao_kupper" else self.tie

    def thresholds(self) -> Tensor:
        """Return the upper half of the level thresholds in reward units, with shape (L,)."""
        band = self.tie_parameter() if self.config.ties == "rao_kupper" else torch.zeros_like(self.tie)
        return torch.cat((band[None], softplus(self.steps))).cumsum(0)

    def forward(self, rewards: Tensor, stated: Stated, reliability: Tensor | None = None) -> Tensor:
        """Return the loss per ranking, with shape (B,), in nats per pair or choice.

        ``rewards`` has shape (B, K), and ``stated`` contains the annotators' statements. ``reliability``,
        with one value per annotator, contains log-odds to use instead of the learned values.
        """
        config, tiers = self.config, stated.tiers
        if config.positions == "learned":
            rewards = rewards + self._offset_of(stated, rewards.shape[1])
        if config.loss == "plackett_luce":
            return losses.plackett_luce(rewards, tiers)
        odds = None
        if config.annotators == "crowd_bt":
            known = self.reliability if reliability is None else reliability
            odds = torch.cat((self.usual, known))[stated.annotators]
        smoothing = config.label_smoothing
        if config.strength == "cumulative":
            return losses.cumulative_strength(
                rewards,
                tiers,
                stated.strengths,
                self.thresholds(),
                ties=config.ties == "rao_kupper",
                label_smoothing=smoothing,
                reliability=odds,
            )
        if config.ties != "ignore":
            with_ties = losses.rao_kupper if config.ties == "rao_kupper" else losses.davidson
            return with_ties(
                rewards, tiers, self.tie_parameter(), label_smoothing=smoothing, reliability=odds
            )
        margins = self.margins[stated.strengths] if config.strength == "margin" else None
        return losses.bradley_terry(
            rewards, tiers, label_smoothing=smoothing, reliability=odds, margins=margins
        )

    def prior(self, stated: Stated) -> Tensor:
        """Return each ranking's share of its annotator's prior, with shape (B,). With these shares, every
        prior is added once per epoch."""
        if not self.key.annotators:
            return torch.zeros_like(stated.annotators, dtype=self.usual.dtype)
        odds = torch.cat((self.usual, self.reliability))[stated.annotators]
        prior = losses.beta_prior(odds, right=self.config.prior_right, wrong=self.config.prior_wrong)
        return prior * self.prior_share[stated.annotators]

    def settle_reliabilities(
        self, groups: Sequence[Group], rewards: Sequence[Tensor]
    ) -> dict[str, Reliability]:
        """Set each reliability to its most probable value given these rewards, and return all reliabilities
        with intervals.

        Reliabilities are trained together with the weights but can converge more slowly. Given the rewards,
        the likelihood is concave in each reliability, so bisection finds the maximum, where the slope changes
        sign.
        """
        if not self.key.annotators:
            return {}
        low, high = (torch.full_like(self.reliability, bound).double() for bound in (-SURE, SURE))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            slope, _ = self._slope_of(middle, groups, rewards)
            rising = slope < 0  # the loss still decreases at `middle`: the optimum is larger
            low, high = torch.where(rising, middle, low), torch.where(rising, high, middle)
        found = (low + high) / 2
        _, curvature = self._slope_of(found, groups, rewards)
        error = curvature.clamp(min=1e-9).rsqrt()
        with torch.no_grad():
            self.reliability.copy_(found.to(self.reliability))
        counts = Counter(group.annotator for group in groups)
        bounds = zip(
            found.sigmoid().tolist(),
            (found - TWO_SIDED_95 * error).sigmoid().tolist(),
            (found + TWO_SIDED_95 * error).sigmoid().tolist(),
            strict=True,
        )
        return {
            name: Reliability(*values, rankings=counts[number])
            for (name, number), values in zip(self.key.annotators.items(), bounds, strict=True)
        }

    def notes(self, reliabilities: Mapping[str, Reliability]) -> dict[str, Any]:
        """Return the learned parameters for the model's config.json."""
        tie = float(self.tie_parameter().detach())
        notes: dict[str, Any] = {"ties": self.config.ties, "tie_parameter": tie}
        if self.config.strength == "cumulative":
            notes["strength_thresholds"] = dict(
                zip(map(str, self.key.levels), self.thresholds().tolist(), strict=True)
            )
        if self.config.positions == "learned":
            notes["position_offsets"] = [0.0, *self.offsets.tolist()]
        if reliabilities:
            notes["usual_reliability"] = float(self.usual.sigmoid())
            notes["annotators"] = {
                name: {"reliability": one.value, "low": one.low, "high": one.high, "rankings": one.rankings}
                for name, one in reliabilities.items()
            }
        return notes

    def _offset_of(self, stated: Stated, width: int) -> Tensor:
        """Return the effect of each display position on the reward, with shape (B, K). The effect of
        a position is 0 if the display order is unknown.

        Positions beyond those in the training rankings use the last offset.
        """
        places = torch.cat((torch.zeros_like(self.usual), self.offsets))
        place = torch.arange(width, device=places.device).clamp(max=len(places) - 1)
        return places[place] * stated.in_shown_order[:, None]

    def _slope_of(
        self, odds: Tensor, groups: Sequence[Group], rewards: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the first and second derivatives of the penalised loss with respect to each annotator's
        log-odds. Annotators are independent, so mixed derivatives are zero."""
        first, second = torch.zeros_like(odds), torch.zeros_like(odds)
        at = odds.clone().requires_grad_()
        prior = losses.beta_prior(at, right=self.config.prior_right, wrong=self.config.prior_wrong)
        parts = [prior.sum()]
        for start in range(0, len(groups), CHUNK_RANKINGS):
            part = slice(start, start + CHUNK_RANKINGS)
            stated = Stated(*(column.to(odds.device) for column in stated_in(groups[part])))
            padded = nn.utils.rnn.pad_sequence(list(rewards[part]), batch_first=True).to(odds)
            weights = torch.tensor([group.weight for group in groups[part]]).to(odds)
            parts.append((self(padded, stated, at) * weights).sum())
        for loss in parts:
            (slope,) = torch.autograd.grad(loss, at, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), at)
            first, second = first + slope.detach(), second + bend
        return first, second


def _first_tie(config: RewardModelConfig, groups: Sequence[Group]) -> float:
    """Return the initial value of ``tie``.

    With this value, the probability of a tie between equal rewards is the share of tied pairs in the given
    rankings. A short run does not converge from a poor initial value. For example, an initial value of 0
    means that responses with equal rewards are tied with probability 1/3. Starting from 0, the model
    predicted 20 % ties after one epoch on 600 rankings, although only 4 % of their pairs were tied. The
    probability of a tie between equal rewards is tanh(h/2) for Rao–Kupper and nu / (nu + 2) for Davidson.
    """
    if config.ties == "ignore":
        return 0.0
    pairs = tied = 0
    for group in groups:
        counts = Counter(group.tiers)
        unranked = counts.pop(UNRANKED_TIER, 0)
        ranked = len(group.tiers) - unranked
        pairs += ranked * (ranked - 1) // 2 + ranked * unranked
        tied += sum(n * (n - 1) // 2 for n in counts.values())
    share = (tied + 0.5) / (pairs + 1)  # smoothed, so that the share is never 0 or 1
    if config.ties == "davidson":
        return math.log(2 * share / (1 - share))
    return math.log(math.expm1(2 * math.atanh(share)))
