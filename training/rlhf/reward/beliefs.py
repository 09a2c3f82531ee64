"""Scores with uncertainty: the joint distribution of the rewards of a prompt's responses.

The module `uncertainty` fits, saves and loads a reward model's uncertainty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.messages import Messages
from training.rlhf.data.batching import Group
from training.rlhf.models.tokens import chat
from training.rlhf.reward import laplace, losses
from training.rlhf.reward.lora_ensemble import LoraEnsemble
from training.rlhf.reward.scoring import (
    SCORING_TOKENS,
    LayoutChoice,
    encode_items,
    score_groups,
    score_with_features,
    stored_scale,
)

LEAST_CHANCE = 1e-30  # lower bound on a pair's probability, so that an impossible outcome has a finite loss


@dataclass(frozen=True, slots=True)
class Belief:
    """The distribution of the rewards of K responses to one prompt.

    ``mean``, with shape (K,), contains the scores. ``covariance``, with shape (K, K), is the covariance of
    the rewards' deviations from the scores. For an ensemble, ``deviations``, with shape (M, K), contains each
    member's deviations. The deviations sum to 0 over members.
    """

    mean: Tensor
    covariance: Tensor
    deviations: Tensor | None = None

    @property
    def spread(self) -> Tensor:
        """The standard deviation of the difference between each reward and the training responses' mean
        reward, with shape (K,)."""
        return self.covariance.diagonal().clamp(min=0).sqrt()

    def preference(self) -> Tensor:
        """Return the probability P(i ≻ j) that a reliable annotator prefers i to j, with shape (K, K).

        Ties are excluded, and the uncertainty is taken into account. For an ensemble, the members'
        probabilities are averaged. For a normal posterior, the probability is integrated over the posterior.
        """
        apart = self.mean[:, None] - self.mean
        if self.deviations is not None:
            return torch.sigmoid(apart + self.deviations[:, :, None] - self.deviations[:, None, :]).mean(
                dim=0
            )
        own = self.covariance.diagonal()
        return laplace.preference(apart, (own[:, None] + own - 2 * self.covariance).clamp(min=0))

    def lower_bound(self, spreads: float) -> Tensor:
        """Return the scores minus ``spreads`` standard deviations, with shape (K,)."""
        return self.mean - spreads * self.spread


def of_members(mean: Tensor, deviations: Tensor) -> Belief:
    """Build a belief from the ensemble members' deviations from their mean. ``deviations`` has shape
    (M, K)."""
    return Belief(mean, deviations.T @ deviations / (len(deviations) - 1), deviations)


class Uncertainty(Protocol):
    """The uncertainty saved with a reward model.

    An `OnFeatures` object needs only the features. A `LoraEnsemble` processes the tokens.
    """

    @property
    def kind(self) -> str:
        """The recipe's name for this kind of uncertainty."""

    def metrics(self) -> dict[str, float]:
        """Return the metrics that are reported at the end of a run."""


class OnFeatures(Uncertainty, Protocol):
    """Uncertainty about the last layer only, computed from the features."""

    def belief(self, mean: Tensor, features: Tensor) -> Belief:
        """Return the belief about K responses. ``mean``, with shape (K,), contains the scores, and
        ``features`` has shape (K, d)."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors to save, by name. The function in `uncertainty.OF_KIND` restores the object from
        these tensors."""


@torch.no_grad()
def beliefs_about(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
    uncertainty: Uncertainty,
    *,
    centred: bool = False,
    layout: LayoutChoice = "auto",
) -> list[Belief]:
    """Like `scoring.score`, but return the beliefs about each prompt's responses. The tensors are on the
    CPU."""
    groups = encode_items(model, tokenizer, items)
    mean = stored_scale(model).mean if centred else 0.0
    found = beliefs_of_groups(model, groups, uncertainty, pad_id=chat.pad_id(tokenizer), layout=layout)
    return [Belief(one.mean - mean, one.covariance, one.deviations) for one in found]


@torch.no_grad()
def beliefs_of_groups(
    model: PreTrainedModel,
    groups: Sequence[Group],
    uncertainty: Uncertainty,
    *,
    pad_id: int,
    layout: LayoutChoice = "auto",
    max_tokens: int = SCORING_TOKENS,
) -> list[Belief]:
    """Return the beliefs about encoded responses, in the order of ``groups``. Each belief's ``mean`` contains
    raw rewards."""
    how: Any = {"pad_id": pad_id, "layout": layout, "max_tokens": max_tokens}
    if isinstance(uncertainty, LoraEnsemble):
        found = zip(score_groups(model, groups, **how), uncertainty.deviations(groups, **how), strict=True)
        return [of_members(mean, deviations) for mean, deviations in found]
    scores, features = score_with_features(model, groups, **how)
    on_features = cast(OnFeatures, uncertainty)
    return [on_features.belief(*both) for both in zip(scores, features, strict=True)]


@torch.no_grad()
def log_loss(
    model: PreTrainedModel, groups: Sequence[Group], uncertainty: Uncertainty, *, pad_id: int
) -> dict[str, float]:
    """Return -log P of the stated preferences, in nats per pair.

    ``plain`` uses the scores alone. ``unsure`` takes the uncertainty into account. With several processes,
    each process reads its share of the rankings.
    """
    mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
    summed = {"pairs": 0.0, "plain": 0.0, "unsure": 0.0}
    for group, belief in zip(mine, beliefs_of_groups(model, mine, uncertainty, pad_id=pad_id), strict=True):
        pairs = losses.preferred_pairs(torch.tensor([group.tiers]))[0]
        plain = torch.sigmoid(belief.mean[:, None] - belief.mean)
        summed["pairs"] += float(pairs.sum())
        for name, p in (("plain", plain), ("unsure", belief.preference())):
            summed[name] -= float(p[pairs].clamp(min=LEAST_CHANCE).log().sum())
    summed = distributed.all_sum(summed)
    pairs_seen = summed.pop("pairs")
    return {name: value / pairs_seen for name, value in summed.items()} if pairs_seen else {}


def score_with_spread(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
    uncertainty: Uncertainty,
    *,
    centred: bool = False,
) -> list[tuple[Tensor, Tensor]]:
    """For each prompt, return the responses' scores and the standard deviations of the scores. Both have
    shape (K,)."""
    found = beliefs_about(model, tokenizer, items, uncertainty, centred=centred)
    return [(one.mean, one.spread) for one in found]


def cautious_scores(
    model: PreTrainedModel,
    groups: Sequence[Group],
    uncertainty: Uncertainty | None,
    *,
    caution: float,
    pad_id: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """For each group, return the raw rewards minus ``caution`` standard deviations, and the standard
    deviations themselves. Both have shape (K,). The standard deviations are 0 if there is no uncertainty
    estimate.

    Because of this deduction, a policy profits less from answers with uncertain rewards. Coste et al. 2024
    (arXiv 2310.02743) subtract an ensemble's variance instead.
    """
    if uncertainty is None:
        scores = score_groups(model, groups, pad_id=pad_id)
        return scores, [torch.zeros_like(score) for score in scores]
    found = beliefs_of_groups(model, groups, uncertainty, pad_id=pad_id)
    return [one.lower_bound(caution) for one in found], [one.spread for one in found]
