"""How people answer, learned beside the rewards: what difference is a tie or a strength, who is to be
believed how far, and what standing first is worth.

A snapshot says a strength as a number on the project's own scale and not which numbers the scale has (its
card has the project's form, but the form of today, and a file of rankings comes without a card). So the
levels are those that were stated in the rankings trained on, in their order. Nothing is lost: a level that
nobody stated would get a threshold that no likelihood depends on. A strength below 1 (some imported files
have 0 and signs) is taken as not stated.
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

from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.data.batching import Group, Said, said_in
from training.rlhf.data.rankings import UNRANKED_TIER, Ranking
from training.rlhf.reward import losses

MOST_LEVELS = 20  # of a scale that people answer on; more are a measurement, such as a difference of scores
TWO_SIDED_95 = 1.96  # standard errors
SURE = 12.0  # log-odds; a reliability of 0.999994 and its opposite are as far as a search goes
HALVINGS = 30
CHUNK_RANKINGS = 4096


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Levels of strength and annotators by number, from 1: what is not in it is 0, not known."""

    levels: Mapping[int, int] = field(default_factory=dict)
    annotators: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often an annotator means what they say, given the rewards, with an interval of 95 %.

    The interval is by the delta method on the log-odds, the rewards held fixed, each ranking counting as one
    observation however many pairs it has. A reward model that has learned its rankings by heart agrees with
    whoever gave them, so read it where the held-out loss is still falling, or for who differs from whom.
    """

    value: float
    low: float
    high: float
    rankings: int


def answer_key(config: RewardModelConfig, rankings: Sequence[Ranking]) -> AnswerKey:
    """Which levels and annotators there are to learn about. Raises ValueError where the recipe asks to learn
    from something that the rankings don't say."""
    levels: dict[int, int] = {}
    if config.strength != "ignore":
        stated = Counter(r.strength for r in rankings if r.strength is not None and r.strength >= 1)
        if not stated:
            raise ValueError("no ranking states a strength of 1 or more; set strength to ignore")
        if config.strength == "cumulative" and len(stated) > MOST_LEVELS:
            raise ValueError(
                f"the rankings state {len(stated)} different strengths, and a scale has at most "
                f"{MOST_LEVELS} levels; set strength to ignore, or bring them to fewer levels"
            )
        if config.strength == "margin" and (missing := sorted(set(stated) - set(config.margin_of()))):
            raise ValueError(
                f"margins has none for strength {missing[0]}, which {stated[missing[0]]} rankings state; "
                f"name all of {', '.join(map(str, sorted(stated)))}"
            )
        levels = {level: number for number, level in enumerate(sorted(stated), start=1)}
    annotators: dict[str, int] = {}
    if config.annotators == "crowd_bt":
        names = sorted({r.annotator for r in rankings if r.annotator})
        if not names:
            raise ValueError(
                "no ranking names its annotator; set annotators to alike, or freeze a snapshot of every "
                "ranking in place of one per task"
            )
        annotators = {name: number for number, name in enumerate(names, start=1)}
    if config.positions == "learned" and not any(r.in_shown_order for r in rankings):
        raise ValueError(
            "of no ranking is it known in which order its responses were shown (imported ones, and several "
            "made into one, don't say); set positions to ignore"
        )
    return AnswerKey(levels, annotators)


class AnswerModel(nn.Module):
    """The learned numbers, and the likelihood of what was said given the rewards.

    Thresholds are ordered by construction: each is the one below it plus a softplus. Position 0 is the zero
    of the offsets. Who is not known has the prior's mean for a reliability, and keeps it.
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
        # Each annotator's prior counts once in an epoch, in equal shares of the weight of their rankings.
        weights = torch.zeros(len(key.annotators) + 1)
        for group in groups:
            weights[group.annotator] += group.weight
        shares = torch.where(weights > 0, 1 / weights, torch.zeros_like(weights))
        shares[0] = 0.0
        self.register_buffer("prior_share", shares)

    def tie_parameter(self) -> Tensor:
        """Rao–Kupper's threshold, through softplus, or Davidson's log nu."""
        return softplus(self.tie) if self.config.ties == "rao_kupper" else self.tie

    def thresholds(self) -> Tensor:
        """(L,) upper half of the thresholds of the levels, in reward units."""
        band = self.tie_parameter() if self.config.ties == "rao_kupper" else torch.zeros_like(self.tie)
        return torch.cat((band[None], softplus(self.steps))).cumsum(0)

    def forward(self, rewards: Tensor, said: Said, reliability: Tensor | None = None) -> Tensor:
        """(B, K) rewards and what was said of them -> (B,) loss per ranking, in nats per pair or choice.

        ``reliability`` (annotators,), log-odds to use in place of the learned ones.
        """
        config, tiers = self.config, said.tiers
        if config.positions == "learned":
            rewards = rewards + self._offset_of(said, rewards.shape[1])
        if config.loss == "plackett_luce":
            return losses.plackett_luce(rewards, tiers)
        odds = None
        if config.annotators == "crowd_bt":
            known = self.reliability if reliability is None else reliability
            odds = torch.cat((self.usual, known))[said.annotators]
        smoothing = config.label_smoothing
        if config.strength == "cumulative":
            return losses.cumulative_strength(
                rewards,
                tiers,
                said.strengths,
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
        margins = self.margins[said.strengths] if config.strength == "margin" else None
        return losses.bradley_terry(
            rewards, tiers, label_smoothing=smoothing, reliability=odds, margins=margins
        )

    def prior(self, said: Said) -> Tensor:
        """(B,) each ranking's share of its annotator's prior, so that an epoch holds every prior once."""
        if not self.key.annotators:
            return torch.zeros_like(said.annotators, dtype=self.usual.dtype)
        odds = torch.cat((self.usual, self.reliability))[said.annotators]
        prior = losses.beta_prior(odds, right=self.config.prior_right, wrong=self.config.prior_wrong)
        return prior * self.prior_share[said.annotators]

    def settle_reliabilities(
        self, groups: Sequence[Group], rewards: Sequence[Tensor]
    ) -> dict[str, Reliability]:
        """Set each reliability to its maximum given these rewards, and give all with their intervals.

        A reliability is learned with the weights but need not have arrived when they have. Given the rewards
        its likelihood is concave in eta, so its maximum is where the slope changes sign: found by halving.
        """
        if not self.key.annotators:
            return {}
        low, high = (torch.full_like(self.reliability, bound).double() for bound in (-SURE, SURE))
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            slope, _ = self._slope_of(middle, groups, rewards)
            rising = slope < 0  # the loss still falls: the maximum of the likelihood is above
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
        """What was learned, as it is kept in the model's config.json."""
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

    def _offset_of(self, said: Said, width: int) -> Tensor:
        """(B, K) what each place adds to the reward as it was seen; 0 where the shown order isn't known. A
        place beyond those of the training rankings has the last one's."""
        places = torch.cat((torch.zeros_like(self.usual), self.offsets))
        place = torch.arange(width, device=places.device).clamp(max=len(places) - 1)
        return places[place] * said.in_shown_order[:, None]

    def _slope_of(
        self, odds: Tensor, groups: Sequence[Group], rewards: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """(first, second) derivative of the penalised loss by each annotator's log-odds; they don't mix."""
        first, second = torch.zeros_like(odds), torch.zeros_like(odds)
        at = odds.clone().requires_grad_()
        prior = losses.beta_prior(at, right=self.config.prior_right, wrong=self.config.prior_wrong)
        parts = [prior.sum()]
        for start in range(0, len(groups), CHUNK_RANKINGS):
            part = slice(start, start + CHUNK_RANKINGS)
            said = Said(*(column.to(odds.device) for column in said_in(groups[part])))
            padded = nn.utils.rnn.pad_sequence(list(rewards[part]), batch_first=True).to(odds)
            weights = torch.tensor([group.weight for group in groups[part]]).to(odds)
            parts.append((self(padded, said, at) * weights).sum())
        for loss in parts:
            (slope,) = torch.autograd.grad(loss, at, create_graph=True)
            (bend,) = torch.autograd.grad(slope.sum(), at)
            first, second = first + slope.detach(), second + bend
        return first, second


def _first_tie(config: RewardModelConfig, groups: Sequence[Group]) -> float:
    """Where ``tie`` starts: equals are tied as often as the pairs of these rankings are.

    From elsewhere a short run does not arrive: started at 0 (a third of equals tied), one epoch of 600
    rankings foretold 20 % of ties where 4 % were. Between equals the chance of a tie is tanh(h/2) by
    Rao–Kupper and nu / (nu + 2) by Davidson.
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
    share = (tied + 0.5) / (pairs + 1)  # never 0 or 1
    if config.ties == "davidson":
        return math.log(2 * share / (1 - share))
    return math.log(math.expm1(2 * math.atanh(share)))
