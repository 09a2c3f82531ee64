"""An ensemble of LoRA adapters on one trunk: it doubts the features, too, where heads on one trunk's features
can't.

Each member learned the same rankings by an adapter and a head of its own, from another random start, in
another order and with weights of its own for the rankings (Bayesian bootstrap, as in `heads`). The trunk lies
in memory once, and is run once for each member: a score with its spread costs as many times as there are
members, and training them as many trainings by LoRA (Zhai et al. 2023, arXiv 2401.00243; Wang et al. 2023,
arXiv 2310.00035). Members of one pretraining share what it got wrong (Eisenstein et al. 2023, arXiv
2312.09244): where they agree they may still all be mistaken.
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

from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.data.batching import Group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.adapters import ADAPTER_NOTES, MEMBER
from training.rlhf.models.loading import open_classifier
from training.rlhf.reward.scoring import LayoutChoice, score_groups

LEAST_BELIEF = 1e-6  # a ranking's weight is above 0
SEEDS_APART = 7919


@dataclass(frozen=True, slots=True)
class LoraEnsemble:
    """``model``: the trunk with the adapters ``names``, of which one acts at a time; ``means`` (M,): each
    member's mean reward over the training responses, which rankings never tell."""

    kind: ClassVar[str] = "lora"
    model: Any
    names: tuple[str, ...]
    means: Tensor
    folders: tuple[Path, ...]

    def deviations(
        self, groups: Sequence[Group], *, pad_id: int, layout: LayoutChoice, max_tokens: int
    ) -> list[Tensor]:
        """(M, K) per group: how each member's rewards deviate from the mean of the members."""
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
    """The members that lie in ``folder``. Raises ModelNotFound where the model that their adapters change is
    gone."""
    folders = sorted(folder.glob(MEMBER.format("*")), key=lambda one: int(one.name.rpartition("-")[2]))
    if len(folders) < 2:
        raise ValueError(f"{folder} holds {len(folders)} members")
    names = [
        "default",
        *(MEMBER.format(number) for number in range(1, len(folders))),
    ]  # peft's own for a first
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
    """Train every member by ``train`` (`reward_model.train`) into ``folder``, which is removed where that is
    stopped; what each has done is in its part of ``checkpoints``."""
    try:
        for number in range(config.members):
            report.progress("members", number, config.members)
            recipe, name = member_recipe(config, number), MEMBER.format(number)
            train(
                recipe,
                base_model=base_model,
                rankings=believed(rankings, recipe.seed),
                out_dir=folder / name,
                checkpoints=Path(checkpoints) / name if checkpoints else None,
                report=Quietly(report),
            )
        report.progress("members", config.members, config.members)
        return load_members(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def member_recipe(config: RewardModelConfig, number: int) -> RewardModelConfig:
    """By which a member is trained. It keeps its last weights: which of a handful are best on few held-out
    rankings is chance, and would be the same chance for all."""
    return config.model_copy(
        update={
            "uncertainty": "none",
            "use_peft": True,
            "learning_rate": config.learning_rate if config.use_peft else None,
            "keep": "last",
            "patience": None,
            "heldout_fraction": 0.0,
            "seed": (config.seed + SEEDS_APART * (number + 1)) % 2**31,
        }
    )


def believed(rankings: Sequence[Ranking], seed: int) -> list[Ranking]:
    """The rankings with a member's weights: Exp(1) each, times their own."""
    weights = torch.empty(len(rankings)).exponential_(generator=torch.Generator().manual_seed(seed))
    return [
        replace(ranking, weight=ranking.weight * (weight + LEAST_BELIEF), split="train")
        for ranking, weight in zip(rankings, weights.tolist(), strict=True)
    ]


class Quietly(NullReporter):
    """For what is trained inside a run: it says nothing, and stops with the run."""

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def check(self) -> None:
        self._report.check()
