"""The predicted disk space matches the actual disk usage of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.policy.test_ppo import PROMPTS, reward_model
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.models import shapes
from training.rlhf.models.loading import save_model
from training.rlhf.planning import disk
from training.rlhf.policy import ppo, rloo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.reward import heads
from training.rlhf.reward.reward_model import train

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "vocab_size": 300, "tie_word_embeddings": True}


def tensors_in(folder: Path) -> int:
    """Total size of all tensor files, in bytes. A hard-linked file counts once."""
    files = {file.stat().st_ino: file.stat().st_size for file in folder.rglob("*.safetensors")}
    return sum(files.values())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"keep": "last", "uncertainty": "heads"},
        {"use_peft": True, "lora_r": 8, "uncertainty": "laplace"},
        {"use_peft": True, "lora_r": 8, "uncertainty": "lora", "members": 2},
    ],
    ids=["full", "heads", "lora", "ensemble"],
)
def test_reward_model_run_uses_the_predicted_disk_space(settings: dict[str, Any], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    base = save_model(tiny.policy(**SHAPE), tiny.tokenizer(), tmp_path / "policy")
    recipe = RewardModelConfig.model_validate(
        {"epochs": 1, "batch_rankings": 16, "evaluations": 3, "checkpoint_steps": 1} | settings
    )
    kept = tmp_path / "checkpoints"
    said: dict[str, Any] = {"rankings": RANKINGS, "heldout": HELDOUT, "checkpoints": kept}
    result = train(recipe, base_model=base, out_dir=tmp_path / "rm", **said)
    foretold = disk.reward_model(recipe, shapes.shape_in(base))
    assert tensors_in(result.path) == pytest.approx(foretold.model, rel=0.2)
    # The predicted size is that of the peak, with three checkpoints and two sets of best weights. At the end
    # of the run, two checkpoints and one or two sets of best weights remain.
    assert 0.5 * foretold.checkpoints < tensors_in(kept) < 1.1 * foretold.checkpoints


@pytest.mark.parametrize("kind", ["rloo", "ppo"])
def test_on_policy_run_uses_the_predicted_disk_space(kind: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    shared: dict[str, Any] = {"steps": 3, "rollout_prompts": 2, "max_new_tokens": 4, "checkpoint_steps": 1}
    shared |= {"samples": 0, "kl_ceiling": 5.0, "reference": "ema"}
    places: dict[str, Any] = {"reward_model": reward_model(tmp_path), "prompts": PROMPTS[:2]}
    places |= {"policy": tmp_path / "trunk", "out_dir": tmp_path / "out", "checkpoints": tmp_path / "kept"}
    policy, judge = (shapes.shape_in(places[name]) for name in ("policy", "reward_model"))
    result: Any
    if kind == "rloo":
        result = rloo.train(recipe := RLOOConfig.model_validate(shared), **places)
        foretold = disk.on_policy(recipe, policy)
    else:
        result = ppo.train(other := PPOConfig.model_validate(shared), **places)
        foretold = disk.on_policy(other, policy, critic=judge)
    assert tensors_in(result.path) == pytest.approx(foretold.model, rel=0.1)
    # The predicted size includes the third checkpoint, which exists only while it is written.
    assert tensors_in(tmp_path / "kept") == pytest.approx(foretold.checkpoints * 2 / 3, rel=0.1)


def test_planned_number_of_checkpoints_and_head_width_match_the_code(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, of={})._keep == disk.CHECKPOINTS_KEPT
    assert heads.WIDTH == disk.RELU_WIDTH
