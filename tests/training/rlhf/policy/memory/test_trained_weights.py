"""A run changes exactly the weights that it lists as trained."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.rlhf.policy.memory.adapted import (
    LOOPS,
    LORA,
    ROLLOUTS,
    Scene,
    build_scene,
    by_reward_model,
    stored,
)
from training.rlhf.models.loading.trainable import Trained, grouped, trained_weights
from training.rlhf.policy import ppo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.rollout import load_models

torch.set_num_threads(1)
KINDS = LOOPS | {"reward_model": by_reward_model}
MATRICES = (
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
)
LAYER = (
    *(f"{name}.weight" for name in MATRICES),
    *("input_layernorm.weight", "post_attention_layernorm.weight"),
)
# The names of the two layers' weights, with `0-1` in place of the layer's number, as a run logs them.
BOTH = [f"model.layers.0-1.{name}" for name in LAYER]
LAST = [f"model.layers.1.{name}" for name in LAYER]
ADAPTER = [f"layers.0-1.{name}.lora_{side}" for name in MATRICES for side in "AB"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_last_layers_change(
    kind: str, scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        path, metrics = KINDS[kind](scene, scene.base, tmp_path, num_layers_unfrozen=1, learning_rate=1e-2)
    before, after = stored(scene.base), stored(path)
    head = "score.weight" if kind == "reward_model" else "lm_head.weight"
    named = {*LAST, "model.norm.weight", head}
    assert {
        name for name in after if name not in before or not torch.equal(before[name], after[name])
    } == named
    [listed] = [one.getMessage() for one in caplog.records if one.getMessage().startswith("training ")]
    part = "policy" if kind not in ("sft", "reward_model") else "model"
    assert {name for name in listed.split(": ")[1].split(", ") if name.startswith(f"{part}.")} == {
        f"{part}.{name}" for name in named
    }
    saved = load_file(max((tmp_path / "checkpoints").glob("step-*")) / "weights.safetensors")
    assert {name for name in saved if name.startswith(f"{part}.")} == {f"{part}.{name}" for name in named}
    if "parameters/change" in metrics:
        norm = sum(float((after[n] - before[n]).double().square().sum()) for n in named) ** 0.5
        assert metrics["parameters/change"] == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("kind", ["sft", "reward_model"])
def test_more_layers_than_the_model_has_are_refused(kind: str, scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"num_layers_unfrozen is 3, but Llama\w+ has 2 layers"):
        KINDS[kind](scene, scene.base, tmp_path, num_layers_unfrozen=3)


def listed(scene: Scene, **settings: object) -> Trained:
    """The trained weights of a PPO run with these settings."""
    config = PPOConfig.model_validate(ROLLOUTS | settings)
    state = ppo.new_state(config, load_models(scene.base, {"reward": scene.judge}, config))
    return trained_weights(state.modules)


def test_all_weights_of_the_policy_and_its_critic_are_listed(scene: Scene) -> None:
    outside = ["model.embed_tokens.weight", *BOTH, "model.norm.weight", "lm_head.weight"]
    critic = ["trunk.embed_tokens.weight", *(name.replace("model", "trunk") for name in BOTH)]
    found = listed(scene)
    assert set(found.names) == {
        *(f"policy.{name}" for name in outside),
        *(f"critic.{name}" for name in (*critic, "trunk.norm.weight", "head.weight", "head.bias")),
    }


def test_adapters_on_a_shared_trunk_are_listed_without_the_trunk(scene: Scene) -> None:
    found = listed(scene, **LORA)
    assert set(found.names) == {
        *(f"policy.base_model.model.model.{name}.weight" for name in ADAPTER),
        *(f"critic.matrices.{name}.weight" for name in ADAPTER),
        *("critic.head.weight", "critic.head.bias"),
    }
    shared = listed(scene, **LORA, critic="shared")
    assert set(shared.names) == {
        *(one for one in found.names if one.startswith("policy.")),
        *("critic.head.weight", "critic.head.bias"),
    }


def test_grouped_names_stand_for_exactly_the_same_weights() -> None:
    names = [f"m.{n}.up.weight" for n in (0, 1, 2, 5)] + ["m.norm.weight"]
    assert grouped(names) == ["m.0-2,5.up.weight", "m.norm.weight"]
    experts = [f"m.{layer}.experts.{expert}.w" for layer in (0, 1) for expert in range(4)]
    assert grouped(experts) == ["m.0-1.experts.0-3.w"]
    assert grouped(experts[:5]) == experts[:5]  # ranges would also include weights that are not trained
