"""How sure a reward model is: every score with its spread, every pair with P(i ≻ j).

After the trunk and its head have been trained, what the rankings leave open is worked out in one of three
ways (the recipe's ``uncertainty``), two of them on the features that the trunk gives for the rankings:

- ``laplace``: a normal posterior of the head around the weights that were trained (`laplace`);
- ``heads``: an ensemble of small random heads fitted to the same rankings (`heads`);
- ``lora``: an ensemble of adapters, each trained on the same rankings (`lora_ensemble`).

None of them changes the model: features are read, nothing is learned back into them, and the score is that of
the trained head, which plain ``AutoModelForSequenceClassification`` gives. What is added is how the rewards
of the responses to one prompt may deviate from it, together, for it is differences that rankings tell of. A
spread is that of a response's reward over the mean reward of the training responses.

    model, tokenizer = load_reward_model(folder)
    for belief in beliefs(model, tokenizer, items, load_uncertainty(folder)):
        belief.mean, belief.spread, belief.preference()[0, 1], belief.lower_bound(1.0)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core import distributed
from training.rlhf.core.messages import Messages
from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.data.batching import Group, Said, said_in
from training.rlhf.models import chat
from training.rlhf.models.adapters import UNCERTAINTY
from training.rlhf.models.loading import Loaded, ModelSource
from training.rlhf.reward import heads, laplace, losses
from training.rlhf.reward.answer_model import AnswerModel
from training.rlhf.reward.lora_ensemble import LoraEnsemble, load_members, write_members
from training.rlhf.reward.scoring import (
    SCORING_TOKENS,
    LayoutChoice,
    encode_items,
    score_groups,
    score_with_features,
    stored_scale,
)

# In a folder of its own (UNCERTAINTY), so that nobody who looks for a model's weights takes these for some.
WEIGHTS, NOTES = "uncertainty.safetensors", "uncertainty.json"
CHUNK_RANKINGS = 1024
LEAST_CHANCE = 1e-30  # of a pair: one that was thought impossible leaves a finite loss


class BrokenUncertainty(ValueError):
    """What is saved beside a reward model can't be read."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of the rewards of K responses to one prompt.

    ``mean`` (K,): the scores. ``covariance`` (K, K): of how the rewards deviate from them. ``deviations``
    (M, K): those of each member, where there is an ensemble; they add up to 0.
    """

    mean: Tensor
    covariance: Tensor
    deviations: Tensor | None = None

    @property
    def spread(self) -> Tensor:
        """(K,) standard deviation of each reward over the mean of the training responses."""
        return self.covariance.diagonal().clamp(min=0).sqrt()

    def preference(self) -> Tensor:
        """(K, K) P(i ≻ j), what is unsure taken into account: that somebody who says what they mean prefers i
        to j, ties left out. Members' probabilities are averaged; a normal posterior is integrated."""
        apart = self.mean[:, None] - self.mean
        if self.deviations is not None:
            return torch.sigmoid(apart + self.deviations[:, :, None] - self.deviations[:, None, :]).mean(
                dim=0
            )
        own = self.covariance.diagonal()
        return laplace.preference(apart, (own[:, None] + own - 2 * self.covariance).clamp(min=0))

    def lower_bound(self, spreads: float) -> Tensor:
        """(K,) scores less so many spreads: what an answer is worth to somebody who doubts it."""
        return self.mean - spreads * self.spread


def of_members(mean: Tensor, deviations: Tensor) -> Belief:
    """From the (M, K) deviations of an ensemble's members from their mean."""
    return Belief(mean, deviations.T @ deviations / (len(deviations) - 1), deviations)


class Uncertainty(Protocol):
    """What is saved beside a reward model: `OnFeatures`, or a `LoraEnsemble`, which reads tokens."""

    @property
    def kind(self) -> str:
        """The recipe's word for it."""

    def metrics(self) -> dict[str, float]:
        """What is said of it at the end of a run."""


class OnFeatures(Uncertainty, Protocol):
    """What is unsure about the last layer alone."""

    def belief(self, mean: Tensor, features: Tensor) -> Belief:
        """Of the (K,) scores of responses with these (K, d) features."""

    def tensors(self) -> dict[str, Tensor]:
        """What is saved, by name; `OF_KIND` makes the same of it."""


@dataclass(frozen=True, slots=True)
class LastLayer:
    """w ~ N(the trained head, ``root`` ``root``ᵀ); ``centre`` (d,): mean of the training responses."""

    kind: ClassVar[str] = "laplace"
    root: Tensor
    centre: Tensor
    prior_spread: Tensor
    determined: Tensor

    def belief(self, mean: Tensor, features: Tensor) -> Belief:
        apart = (features - self.centre) @ self.root
        return Belief(mean, apart @ apart.T)

    def tensors(self) -> dict[str, Tensor]:
        names = ("root", "centre", "prior_spread", "determined")
        return {name: getattr(self, name) for name in names}

    def metrics(self) -> dict[str, float]:
        return {"prior_spread": float(self.prior_spread), "directions_determined": float(self.determined)}


@dataclass(frozen=True, slots=True)
class HeadEnsemble:
    """Members that deviate from the trained head as they do from their own mean."""

    kind: ClassVar[str] = "heads"
    members: heads.Heads

    def belief(self, mean: Tensor, features: Tensor) -> Belief:
        found = heads.outputs(self.members, features).T
        return of_members(mean, found - found.mean(dim=0))

    def tensors(self) -> dict[str, Tensor]:
        return self.members._asdict()

    def metrics(self) -> dict[str, float]:
        return {"prior_spread": float(self.members.prior_spread)}


def _last_layer(tensors: dict[str, Tensor]) -> OnFeatures:
    return LastLayer(**tensors)


def _head_ensemble(tensors: dict[str, Tensor]) -> OnFeatures:
    return HeadEnsemble(heads.Heads(**tensors))


OF_KIND = {LastLayer.kind: _last_layer, HeadEnsemble.kind: _head_ensemble}


def reads_features(config: RewardModelConfig) -> bool:
    """Whether what the recipe asks for is worked out on features."""
    return config.uncertainty in OF_KIND


def fit(
    config: RewardModelConfig,
    *,
    head: Tensor,
    features: Sequence[Tensor],
    groups: Sequence[Group],
    answers: AnswerModel,
    check: Callable[[], None] = lambda: None,
) -> OnFeatures | None:
    """What the rankings in ``groups`` leave open about a ``head`` (d,) on these features, (K, d) per group;
    None where the recipe doesn't ask for that.

    ``answers`` has the numbers learned of how people answer, which are held fixed. ``check`` may raise to
    stop.
    """
    if not reads_features(config):
        return None
    together = torch.cat(list(features))
    centre = together.mean(dim=0)
    typical_square = float((together - centre).square().sum(dim=1).mean())
    answers = copy.deepcopy(answers).cpu().double().requires_grad_(False)

    def part_of(indices: Sequence[int]) -> laplace.Part:
        return part([groups[i] for i in indices], [features[i] for i in indices], config, answers)

    head = head.detach().cpu()
    by_width = sorted(range(len(groups)), key=lambda i: len(groups[i].responses))
    chunks = [by_width[at : at + CHUNK_RANKINGS] for at in range(0, len(by_width), CHUNK_RANKINGS)]
    posterior = laplace.around(
        head,
        [part_of(chunk) for chunk in chunks],
        typical_square=typical_square,
        prior_spread=config.prior_spread,
    )
    prior_spread = (typical_square / posterior.precision) ** 0.5
    if config.uncertainty == "laplace":
        told = (torch.tensor(value) for value in (prior_spread, posterior.determined))
        return LastLayer(posterior.root.float(), centre, *told)
    prior = heads.draw_heads(
        members=config.members,
        centre=centre,
        scale=torch.tensor(typical_square / len(centre)).sqrt(),
        prior_spread=prior_spread,
        seed=config.seed,
    )
    fitted = heads.fit_heads(
        prior, lambda chosen: part_of(chosen.tolist()), len(groups), seed=config.seed, check=check
    )
    offset = torch.cat([heads.outputs(fitted, some) for some in torch.split(together, CHUNK_RANKINGS)]).mean(
        dim=0
    )
    return HeadEnsemble(fitted._replace(offset=offset))


def part(
    groups: Sequence[Group], features: Sequence[Tensor], config: RewardModelConfig, answers: AnswerModel
) -> laplace.Part:
    """Rankings with their features and the likelihood of what was said, as the recipe has it."""
    said = said_in(groups)
    counted = observations(config, said.tiers) * torch.tensor([group.weight for group in groups])

    def likelihood(rewards: Tensor) -> Tensor:
        times = rewards.shape[:-2].numel()
        repeated = Said(*(column.repeat(times, *[1] * (column.ndim - 1)) for column in said))
        per_ranking: Tensor = answers(rewards.double().flatten(0, -2), repeated)
        return per_ranking.view(rewards.shape[:-1]) * counted

    return laplace.Part(nn.utils.rnn.pad_sequence(list(features), batch_first=True), likelihood)


def observations(config: RewardModelConfig, tiers: Tensor) -> Tensor:
    """How many independent observations a ranking is: (B, K) -> (B,). The losses are means, and how sure one
    may be is a matter of sums.

    For Plackett–Luce its choices, which are its likelihood. The pairs of a ranking are not independent, so
    each counts as 3 / (K + 1): a sum over pairs then tells as much as it seems to (its Godambe information,
    where all orders are as likely, is that share of the second derivative: with K = 2 everything; with four
    responses six pairs count as 3.6). Where rewards differ it is a little more, so intervals err on the wide
    side.
    """
    real = tiers >= 0
    if config.loss == "plackett_luce":
        return (real & (tiers < tiers.amax(dim=1, keepdim=True))).sum(dim=1).double()
    pairs = losses.preferred_pairs(tiers)
    if config.ties != "ignore":
        pairs = pairs | losses.tied_pairs(tiers)
    return pairs.sum(dim=(1, 2)) * 3.0 / (real.sum(dim=1) + 1.0)


@torch.no_grad()
def beliefs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
    uncertainty: Uncertainty,
    *,
    centred: bool = False,
    layout: LayoutChoice = "auto",
) -> list[Belief]:
    """As `scoring.score`, with what is believed of the responses to each prompt. On the CPU."""
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
    """Of encoded responses, in the order of ``groups``; the means are raw rewards."""
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
    """-log P of what was preferred, in nats per pair: ``plain`` by the scores alone, ``unsure`` with the
    spread taken into account. Each process reads its share."""
    mine = [groups[i] for i in distributed.share([group.packed_tokens for group in groups])]
    summed = {"pairs": 0.0, "plain": 0.0, "unsure": 0.0}
    for group, belief in zip(mine, beliefs_of_groups(model, mine, uncertainty, pad_id=pad_id), strict=True):
        pairs = losses.preferred_pairs(torch.tensor([group.tiers]))[0]
        plain = torch.sigmoid(belief.mean[:, None] - belief.mean)
        summed["pairs"] += float(pairs.sum())
        for name, p in (("plain", plain), ("unsure", belief.preference())):
            summed[name] -= float(p[pairs].clamp(min=LEAST_CHANCE).log().sum())
    summed = distributed.add_up(summed)
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
    """(scores, spreads) of the responses to each prompt, (K,) each."""
    found = beliefs(model, tokenizer, items, uncertainty, centred=centred)
    return [(one.mean, one.spread) for one in found]


def preference_probability(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    items: Sequence[tuple[Messages, Sequence[str]]],
    uncertainty: Uncertainty,
) -> list[Tensor]:
    """P(i ≻ j) among the responses to each prompt, (K, K)."""
    return [one.preference() for one in beliefs(model, tokenizer, items, uncertainty)]


def write(uncertainty: Uncertainty, model_folder: Path) -> None:
    """Save it with the reward model in ``model_folder``."""
    folder = model_folder / UNCERTAINTY
    folder.mkdir()
    if isinstance(uncertainty, LoraEnsemble):
        write_members(uncertainty, folder)
    else:
        saved = cast(OnFeatures, uncertainty).tensors()
        save_file({name: value.contiguous() for name, value in saved.items()}, folder / WEIGHTS)
    notes = {"kind": uncertainty.kind, **uncertainty.metrics()}
    (folder / NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def load_uncertainty(model_folder: str | Path) -> Uncertainty | None:
    """What is saved with the reward model in this folder; None where nothing is (a hub name, too). Raises
    BrokenUncertainty."""
    folder = Path(model_folder) / UNCERTAINTY
    if not folder.is_dir():
        return None
    try:
        kind = json.loads((folder / NOTES).read_text(encoding="utf-8"))["kind"]
        return (
            load_members(folder) if kind == LoraEnsemble.kind else OF_KIND[kind](load_file(folder / WEIGHTS))
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BrokenUncertainty(
            f"what is saved in {folder} can't be read ({error!r}). Train the reward model again, or remove "
            "that folder to score without spreads."
        ) from error


def doubt_about(reward_model: ModelSource, *, caution: float) -> Uncertainty | None:
    """What is saved with a reward model in a folder; one in memory has nothing. Raises ValueError where there
    is nothing and its scores are to be taken with ``caution``."""
    found = None if isinstance(reward_model, Loaded) else load_uncertainty(reward_model)
    if caution and found is None:
        raise ValueError(
            f"caution is {caution}, but the reward model doesn't say how sure it is: train it with "
            "uncertainty set to laplace, heads or lora, or set caution to 0"
        )
    return found


def cautious_scores(
    model: PreTrainedModel,
    groups: Sequence[Group],
    uncertainty: Uncertainty | None,
    *,
    caution: float,
    pad_id: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """(raw rewards less ``caution`` spreads, spreads), (K,) per group; without uncertainty the spreads are 0.

    An ensemble's lower bound makes a policy gain less by what the reward model has not been told of (Coste et
    al. 2024, arXiv 2310.02743; they take off the variance).
    """
    if uncertainty is None:
        scores = score_groups(model, groups, pad_id=pad_id)
        return scores, [torch.zeros_like(score) for score in scores]
    found = beliefs_of_groups(model, groups, uncertainty, pad_id=pad_id)
    return [one.lower_bound(caution) for one in found], [one.spread for one in found]
