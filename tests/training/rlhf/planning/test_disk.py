"""The predicted disk space matches the actual disk usage of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.core.kills_kinds import PROMPTS, make_inputs
from tests.training.rlhf.reward.test_reward_model import HELDOUT, RANKINGS
from tests.training.rlhf.small_world import arbitrary_reward_model, short_speaker
from training import demo_world
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.models.files import shapes
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.planning import disk
from training.rlhf.policy import dpo, ppo, rejection_sampling
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
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


def test_checkpoints_of_rejection_sampling_use_the_predicted_disk_space(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = RejectionSamplingConfig(
        samples_per_prompt=32, max_new_tokens=12, sample_prompts=0, checkpoint_steps=1, temperature=5.0
    )
    rejection_sampling.train(
        recipe,
        policy=short_speaker(),
        reward_model=arbitrary_reward_model(),
        prompts=demo_world.prompts(8, seed=1),
        out_dir=tmp_path / "policy",
        checkpoints=tmp_path / "checkpoints",
    )
    shape = shapes.shape_in(tmp_path / "policy")
    foretold = disk.rejection_sampling(recipe, shape, prompts=8)
    assert tensors_in(tmp_path / "policy") == pytest.approx(foretold.model, rel=0.2)
    newest = max((tmp_path / "checkpoints").iterdir())
    of_model = 3 * disk.FLOAT * shape.weights
    found = {name: (newest / f"{name}.safetensors").stat().st_size for name in ("weights", "moments", "data")}
    assert found["weights"] + found["moments"] == pytest.approx(of_model, rel=0.2)
    # Answers are shorter than their maximum length.
    answers = foretold.checkpoints / (disk.CHECKPOINTS_KEPT + 1) - of_model
    assert 0.5 * answers < found["data"] < 1.2 * answers


def test_dpo_run_uses_the_predicted_disk_space(tmp_path: Path) -> None:
    policy = tiny.policy(**SHAPE)
    recipe = DPOConfig(checkpoint_steps=1, sample_prompts=0, learning_rate=1e-4)
    kept = tmp_path / "checkpoints"
    result = dpo.train(
        recipe, base_model=Loaded(policy, tiny.tokenizer()), rankings=RANKINGS, out_dir=tmp_path / "dpo",
        checkpoints=kept,
    )  # fmt: skip
    foretold = disk.trained_policy(recipe, shapes.shape_of(policy.config.to_dict()))
    assert tensors_in(result.path) == pytest.approx(foretold.model, rel=0.2)
    # Two of the three checkpoints that exist at the peak remain.
    assert tensors_in(kept) == pytest.approx(2 / 3 * foretold.checkpoints, rel=0.1)


@pytest.mark.parametrize(
    "settings", [{}, {"reference": "ema", "kl_ceiling": 100.0}], ids=["fixed reference", "two more copies"]
)
def test_ppo_run_uses_the_predicted_disk_space(settings: dict[str, Any], tmp_path: Path) -> None:
    torch.set_num_threads(1)
    make_inputs(tmp_path)
    recipe = PPOConfig.model_validate(
        {"steps": 3, "rollout_prompts": 2, "max_new_tokens": 2, "checkpoint_steps": 1, "samples": 0}
        | settings
    )
    kept, models = tmp_path / "checkpoints", (tmp_path / "policy", tmp_path / "reward")
    result = ppo.train(
        recipe,
        policy=models[0],
        reward_model=models[1],
        prompts=PROMPTS,
        out_dir=tmp_path / "ppo",
        checkpoints=kept,
    )
    policy, judge = (shapes.shape_in(folder) for folder in models)
    foretold = disk.on_policy(recipe, policy, critic=judge)
    assert tensors_in(result.path) == pytest.approx(foretold.model, rel=0.1)
    # Two checkpoints remain, but the predicted size covers three.
    assert tensors_in(kept) == pytest.approx(foretold.checkpoints * 2 / 3, rel=0.1)


def test_planned_number_of_checkpoints_and_head_width_match_the_code(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path, of={})._keep == disk.CHECKPOINTS_KEPT
    assert heads.WIDTH == disk.RELU_WIDTH
