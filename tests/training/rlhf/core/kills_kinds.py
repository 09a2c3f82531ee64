"""One small training loop of each kind for `kills`. Each writes a checkpoint after every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.training.rlhf import tiny
from tests.training.rlhf.core.kills import Loop
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core.reporter import Reporter
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading import save_model
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward import reward_model

EVERY_STEP: dict[str, Any] = {"checkpoint_steps": 1, "checkpoint_minutes": None}


def make_inputs(folder: Path) -> None:
    """Write the models that all loops start from."""
    save_model(tiny.policy(), tiny.tokenizer(), folder / "policy")


def train_reward_model(
    folder: Path, out: Path, checkpoints: Path | None, report: Reporter
) -> Mapping[str, Any]:
    """Two epochs of four steps, with an evaluation after every second step. Some checkpoints contain the best
    weights. Annotator reliability is learned, so checkpoints include the answer model."""
    recipe = RewardModelConfig(
        epochs=2, batch_rankings=16, learning_rate=5e-3, evaluations=4, annotators="crowd_bt", **EVERY_STEP
    )
    return reward_model.train(
        recipe,
        base_model=folder / "policy",
        rankings=named(RANKINGS),
        heldout=named(HELDOUT),
        out_dir=out,
        checkpoints=checkpoints,
        report=report,
    ).metrics


KINDS: dict[str, Loop] = {"reward_model": train_reward_model}


def named(rankings: list[Ranking]) -> list[Ranking]:
    """Assign the rankings alternately to two annotators."""
    return [
        dataclasses.replace(ranking, annotator=f"a{number % 2}") for number, ranking in enumerate(rankings)
    ]
