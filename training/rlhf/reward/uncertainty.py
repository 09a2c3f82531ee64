"""Fit, save and load a reward model's uncertainty, which `beliefs` uses to score responses.

The rewards remain uncertain after the trunk and head have been trained. The recipe's ``uncertainty`` selects
one of three methods to estimate this uncertainty:

- ``laplace``: a normal posterior over the head's weights, centred on the trained weights (`laplace`);
- ``heads``: an ensemble of small random heads fitted to the same rankings (`heads`);
- ``lora``: an ensemble of adapters, each trained on the same rankings (`lora_ensemble`).

The first two methods use the trunk's features for the rankings. None of the methods changes the model. The
score remains that of the trained head, as computed by plain ``AutoModelForSequenceClassification``. The
uncertainty describes, for each prompt, how far the responses' rewards can deviate from their scores. The
uncertainty is a joint distribution of the rewards of a prompt's responses, because rankings determine only
differences between rewards. A spread is the standard deviation of the difference between a response's reward
and the training responses' mean reward.

    model, tokenizer = load_reward_model(folder)
    for belief in beliefs_about(model, tokenizer, items, load_uncertainty(folder)):
        belief.mean, belief.spread, belief.preference()[0, 1], belief.lower_bound(1.0)
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.rlhf.data.batching import Group, Stated, stated_in
from training.rlhf.models.files.adapters import UNCERTAINTY
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import heads, laplace, losses
from training.rlhf.reward.answer_model import AnswerModel
from training.rlhf.reward.beliefs import Belief, OnFeatures, Uncertainty, of_members
from training.rlhf.reward.lora_ensemble import LoraEnsemble, load_members, write_members

# These files are in a separate folder (UNCERTAINTY), so that their weights are not mistaken for a model's
# weights.
WEIGHTS, NOTES = "uncertainty.safetensors", "uncertainty.json"
CHUNK_RANKINGS = 1024


class BrokenUncertainty(ValueError):
    """Raised if the uncertainty saved with a reward model cannot be read."""


@dataclass(frozen=True, slots=True)
class LastLayer:
    """The normal posterior w ~ N(the trained head, ``root`` ``root``ᵀ). ``centre``, of shape (d,), is the
    mean of the training responses' features."""

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
    """Ensemble members whose rewards are shifted so that their mean is the trained head's score."""

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
    """Return whether the recipe's kind of uncertainty is fitted on features."""
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
    """Fit the uncertainty of ``head`` to the rankings in ``groups``.

    ``head`` has shape (d,), and the features have shape (K, d) per group. Returns None if the recipe's
    uncertainty is not fitted on features. ``answers`` contains the answer model's learned parameters, which
    stay fixed. ``check`` can raise an exception to stop the fit.
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
        scalars = (torch.tensor(value) for value in (prior_spread, posterior.determined))
        return LastLayer(posterior.root.float(), centre, *scalars)
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
    """Combine the rankings' features with their likelihood, as specified by the recipe."""
    stated = stated_in(groups)
    counted = observations(config, stated.tiers) * torch.tensor([group.weight for group in groups])

    def likelihood(rewards: Tensor) -> Tensor:
        times = rewards.shape[:-2].numel()
        repeated = Stated(*(column.repeat(times, *[1] * (column.ndim - 1)) for column in stated))
        per_ranking: Tensor = answers(rewards.double().flatten(0, -2), repeated)
        return per_ranking.view(rewards.shape[:-1]) * counted

    return laplace.Part(nn.utils.rnn.pad_sequence(list(features), batch_first=True), likelihood)


def observations(config: RewardModelConfig, tiers: Tensor) -> Tensor:
    """Return the number of independent observations in each ranking, with shape (B,). An estimate's certainty
    depends on the sum of the losses, not on their mean. A ranking's mean loss is therefore multiplied by the
    ranking's number of observations.

    For Plackett–Luce, the likelihood is the product of the choices' probabilities. The number of observations
    is therefore the number of choices. For the losses on pairs, the pairs of one ranking are not independent.
    In a ranking of K responses, each pair therefore has weight 3 / (K + 1). For example, the six pairs of a
    ranking of four responses carry as much information as 3.6 independent pairs.

    The weight 3 / (K + 1) makes the curvature of the weighted sum equal to its information. If all orders are
    equally likely, the unweighted sum's Godambe information is 3 / (K + 1) times the sum's second derivative.
    For K = 2, the factor is 1. If rewards differ, the exact factor is slightly larger. The estimated
    intervals are then slightly too wide rather than too narrow.
    """
    real = tiers >= 0
    if config.loss == "plackett_luce":
        return (real & (tiers < tiers.amax(dim=1, keepdim=True))).sum(dim=1).double()
    pairs = losses.preferred_pairs(tiers)
    if config.ties != "ignore":
        pairs = pairs | losses.tied_pairs(tiers)
    return pairs.sum(dim=(1, 2)) * 3.0 / (real.sum(dim=1) + 1.0)


def write(uncertainty: Uncertainty, model_folder: Path) -> None:
    """Save the uncertainty with the reward model in ``model_folder``."""
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
    """Load the uncertainty saved with the reward model in this folder. Return None if no uncertainty is saved
    or the model is given by its hub name.

    Raises BrokenUncertainty if the saved uncertainty cannot be read.
    """
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
            f"the uncertainty in {folder} can't be read ({error!r}). Train the reward model again, or "
            "remove this folder to score without uncertainty."
        ) from error


def uncertainty_of(reward_model: ModelSource, *, caution: float) -> Uncertainty | None:
    """Load a reward model's uncertainty from its folder. Return None for a model in memory, because no
    uncertainty is saved with it.

    Raises ValueError if there is no uncertainty and ``caution`` is above 0.
    """
    found = None if isinstance(reward_model, Loaded) else load_uncertainty(reward_model)
    if caution and found is None:
        raise ValueError(
            f"`caution` is {caution}, but the reward model has no uncertainty estimate. Train it with"
            " `uncertainty` set to `laplace`, `heads` or `lora`, or set `caution` to 0"
        )
    return found
