"""Configurations of a run. In each configuration, a method must find the same optimum as with its default
settings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tests.training.rlhf.policy.optimum import known_optimum
from tests.training.rlhf.policy.optimum.known_optimum import GOOD, World
from training.rlhf.models.files.adapters import ADAPTER_NOTES
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import head_of, plain
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.scoring import load_for_training

# The final norm fixes the length of the states, so a frozen output layer limits the probability of a token.
# In this small model, the best policy without an adapter on that layer reaches 51 % of the optimum.
ADAPTER: dict[str, Any] = {
    **{"use_peft": True, "lora_r": 8, "lora_alpha": 16},
    "lora_target_modules": "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head",
}


@dataclass(frozen=True)
class Configuration:
    """``settings`` are added to the recipe. If ``stored``, the models are loaded from folders; adapters
    require folders. With ``one_trunk``, the reward model is an adapter of the policy's base model. With
    ``separate``, the policy does not support several answers in the same row."""

    settings: dict[str, Any] = field(default_factory=dict)
    stored: bool = False
    one_trunk: bool = False
    separate: bool = False


class Start(NamedTuple):
    """The environment of a run, and the models that the run loads."""

    world: World
    policy: ModelSource
    reward_model: ModelSource


CONFIGURATIONS: dict[str, Configuration] = {
    "all weights": Configuration(),
    "adapter": Configuration(ADAPTER, stored=True),
    "one trunk": Configuration(ADAPTER, one_trunk=True),
    "bfloat16": Configuration({"dtype": "bfloat16"}, stored=True),
    "one trunk, bfloat16": Configuration(ADAPTER | {"dtype": "bfloat16"}, one_trunk=True),
    "separate rows": Configuration(separate=True),
}


def start_of(configuration: Configuration, seed: int, folder: Path) -> Start:
    """Return the environment with this seed. Models are saved to the folder if the configuration requires
    it."""
    world = known_optimum.world(seed)
    if configuration.one_trunk:
        base = save_model(*world.start, folder / "base")
        judge = reward_adapter(base, folder / "judge")
        own = known_optimum.world_of(world.start, judge)
        return Start(own, base, rescaled(judge, folder / "judge"))
    if configuration.stored:
        policy, judge = world.policy(), world.reward_model()
        return Start(world, save_model(*policy, folder / "base"), save_model(*judge, folder / "judge"))
    policy = world.policy()
    if configuration.separate:
        policy.model.set_attn_implementation("eager")
    return Start(world, policy, world.reward_model())


def reward_adapter(base: Path, folder: Path, *, good: int = GOOD) -> Loaded:
    """Save a reward model that prefers the word "good", as an adapter of the base model. Return the reward
    model as a complete model.

    The adapter's rank is the width of the model, so it can replace the weight of any linear layer. All of
    these weights become zero, except in the value and output projections of the first layer. There, every
    token adds a number to the first component of the states: about 1 if the token is "good", and about 0
    otherwise. The head reads this component at EOS.
    """
    width = json.loads((base / "config.json").read_text())["hidden_size"]
    settings = RewardModelConfig(use_peft=True, lora_r=width, lora_alpha=width)
    judge = load_for_training(base, settings)
    model = plain(judge.model)
    with torch.no_grad():
        first = model.model.layers[0]
        tokens = first.input_layernorm(model.model.embed_tokens.weight)
        values = 0.05 * torch.randn(len(tokens), generator=torch.Generator().manual_seed(0))
        values[good] = 1.0
        detector = torch.linalg.lstsq(tokens, values[:, None]).solution[:, 0]
        for layer in lora.layers_with_adapters(judge.model):
            wanted = torch.zeros_like(layer.base_layer.weight)
            if layer is first.self_attn.v_proj:
                wanted[0] = detector
            elif layer is first.self_attn.o_proj:
                wanted[0, 0] = 1.0
            change, one = wanted - layer.base_layer.weight, torch.eye(width)
            inner, outer = (one, change) if change.shape[1] == width else (change, one)
            layer.lora_A[lora.POLICY].weight.copy_(inner)
            layer.lora_B[lora.POLICY].weight.copy_(outer)
        head_of(judge.model).weight.zero_()
        head_of(judge.model).weight[0, 0] = 1.0
    save_model(*judge, folder, merge=False)
    return load_reward_model(folder)


def rescaled(judge: Loaded, folder: Path) -> Path:
    """Write the reward model's scale to the folder of its adapter."""
    notes = json.loads((folder / ADAPTER_NOTES).read_text())
    (folder / ADAPTER_NOTES).write_text(json.dumps(notes | {"rankloop": judge.model.config.rankloop}))
    return folder
