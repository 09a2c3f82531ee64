"""An ensemble of LoRA adapters on one trunk. In an ensemble of heads, all members share the trunk's features.
Here, each adapter changes the features, so the ensemble also covers uncertainty about the features.

All members are trained on the same rankings. Each member has its own adapter, head, random start, data order
and ranking weights (Bayesian bootstrap, as in `heads`). The trunk is loaded once but runs once per member.
Scoring with the ensemble therefore costs as much as scoring with each member in turn. Training costs as much
as one LoRA training run per member (Zhai et al. 2023, arXiv 2401.00243; Wang et al. 2023, arXiv 2310.00035).
Members with the same pretraining share errors (Eisenstein et al. 2023, arXiv 2312.09244). All members can
therefore agree on an incorrect result.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.core.seeds import generator_for, seed_for
from training.rlhf.data.batching import Group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.files.adapters import ADAPTER_NOTES, MEMBER
from training.rlhf.models.loading.opening import open_classifier
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.scoring import LayoutChoice, score_groups

LEAST_BELIEF = 1e-6  # lower bound that keeps a ranking's weight above 0


@dataclass(frozen=True, slots=True)
class LoraEnsemble:
    """``model`` is the trunk with one adapter for each of ``names``. Only one adapter is active at a time.
    ``means``, with shape (M,), contains each member's mean reward over the training responses. This mean is
    arbitrary, because rankings determine only differences between rewards."""

    kind: ClassVar[str] = "lora"
    model: Any
    names: tuple[str, ...]
    means: Tensor
    folders: tuple[Path, ...]

    def deviations(
        self, groups: Sequence[Group], *, pad_id: int, layout: LayoutChoice, max_tokens: int
    ) -> list[Tensor]:
        """For each group, return the deviation of each member's rewards from the mean over members. Each
        tensor has shape (M, K)."""
        found = []
        for name, mean in zip(self.names, self.means, strict=True):
            self.model.set_adapter(name)
            scores = score_groups(self.model, groups, pad_id=pad_id, layout=layout, max_tokens=max_tokens)
            found.append([score - mean for score in scores])
        members = [torch.stack(rewards) for rewards in zip(*found, strict=True)]
        return [rewards - rewards.mean(dim=0) for rewards in members]

    def metrics(self) -> dict[str, float]:
        return {"members": float(len(self.names))}


def load_members(folder: Path) -> LoraEnsemble:
    """Load the members in ``folder``. Raises ModelNotFound if the base model of their adapters is missing,
    and ValueError for fewer than two members."""
    folders = sorted(folder.glob(MEMBER.format("*")), key=lambda one: int(one.name.rpartition("-")[2]))
    if len(folders) < 2:
        raise ValueError(f"{folder} contains {len(folders)} members, but an ensemble needs at least 2")
    names = [
        "default",  # peft's name for the first adapter
        *(MEMBER.format(number) for number in range(1, len(folders))),
    ]
    model: Any = open_classifier(folders[0]).model
    for name, member in zip(names[1:], folders[1:], strict=True):
        model.load_adapter(str(member), adapter_name=name)
    notes = [json.loads((member / ADAPTER_NOTES).read_text(encoding="utf-8")) for member in folders]
    means = torch.tensor([float(one["rankloop"]["reward_mean"]) for one in notes])
    return LoraEnsemble(model.eval(), tuple(names), means, tuple(folders))


def write_members(ensemble: LoraEnsemble, folder: Path) -> None:
    for number, member in enumerate(ensemble.folders):
        shutil.copytree(member, folder / MEMBER.format(number))


def train_members(
    train: Callable[..., object],
    config: RewardModelConfig,
    *,
    base_model: str | Path,
    rankings: Sequence[Ranking],
    folder: Path,
    checkpoints: str | Path | None,
    report: Reporter,
) -> LoraEnsemble:
    """Train every member with ``train`` (`reward_model.train`) and save all members in ``folder``. If
    training fails or is cancelled, ``folder`` is removed.

    Each member has its own subfolder of ``checkpoints``.
    """
    try:
        for number in range(config.members):
            report.progress("members", number, config.members)
            recipe, name = member_recipe(config, number), MEMBER.format(number)
            train(
                recipe,
                base_model=base_model,
                rankings=bootstrap_weighted(rankings, recipe.seed),
                out_dir=folder / name,
                checkpoints=Path(checkpoints) / name if checkpoints else None,
                report=SilentReporter(report),
            )
        report.progress("members", config.members, config.members)
        return load_members(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def member_recipe(config: RewardModelConfig, number: int) -> RewardModelConfig:
    """Return the recipe for training a member. A member keeps its last weights rather than those of its best
    evaluation. With few held-out rankings, it is largely a matter of chance which evaluation is the best. In
    addition, the best weights of all members would be selected on the same rankings.
    """
    return config.model_copy(
        update={
            "uncertainty": "none",
            "use_peft": True,
            "num_layers_unfrozen": None,
            "learning_rate": config.learning_rate if config.use_peft else None,
            "keep": "last",
            "patience": None,
            "heldout_fraction": 0.0,
            "seed": seed_for(config.seed, "ensemble member", number) % 2**31,
        }
    )


def bootstrap_weighted(rankings: Sequence[Ranking], seed: int) -> list[Ranking]:
    """Return the rankings with the weights for one member. Each ranking's own weight is multiplied by a draw
    from Exp(1)."""
    weights = torch.empty(len(rankings)).exponential_(generator=generator_for(seed, "bootstrap"))
    return [
        replace(ranking, weight=ranking.weight * (weight + LEAST_BELIEF), split="train")
        for ranking, weight in zip(rankings, weights.tolist(), strict=True)
    ]


class SilentReporter(NullReporter):
    """A reporter for a training loop inside another run. The reporter reports nothing, and the loop stops
    when the run stops."""

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def check(self) -> None:
        self._report.check()
