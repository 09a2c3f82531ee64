"""Policies in bfloat16 have float32 masters or adapters, and their results are close to those in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import (
    LOOPS,
    LORA,
    ROLLOUTS,
    Scene,
    build_scene,
    interrupted,
    same,
    stored,
)
from training.rlhf.core.masters import optimised, optimiser_over
from training.rlhf.models.loading.opening import load_policy
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.parts import lora
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.rollouts.critic import critic_for
from training.rlhf.rollouts.rollout import load_models

torch.set_num_threads(1)
HALF: dict[str, Any] = {"dtype": "bfloat16", "learning_rate": 1e-3}
ADAPTED = LORA | {"dtype": "bfloat16"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


def test_masters_keep_changes_that_bfloat16_cannot_represent() -> None:
    """Fifty steps of SGD with a constant gradient change the master by the sum of all steps."""
    module = nn.Linear(4, 1, bias=False).to(torch.bfloat16)
    nn.init.ones_(module.weight)
    optimiser = optimiser_over(module, lambda found: torch.optim.SGD(found, lr=1e-3))
    [master] = optimised(optimiser)
    assert (master.dtype, module.weight.dtype) == (torch.float32, torch.bfloat16)
    for _ in range(50):
        for _ in range(2):  # the gradients of two micro-batches are added
            module(torch.full((1, 4), 0.5, dtype=torch.bfloat16)).sum().backward()
        assert module.weight.grad is None
        assert master.grad is not None
        assert torch.equal(master.grad, torch.ones(1, 4))
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    assert torch.allclose(master, torch.full((1, 4), 0.95), atol=1e-6)
    assert torch.equal(module.weight, master.to(torch.bfloat16))
    alone = torch.ones((), dtype=torch.bfloat16)
    assert alone - 1e-3 == alone  # without a master, no step would change the weight


def test_second_optimiser_continues_with_the_same_masters() -> None:
    module = nn.Linear(2, 1).to(torch.bfloat16)
    first, second = (optimiser_over(module, lambda found: torch.optim.SGD(found, lr=0.1)) for _ in range(2))
    assert all(one is two for one, two in zip(optimised(first), optimised(second), strict=True))
    module(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    assert torch.equal(optimised(second)[0].grad, torch.ones(1, 2))  # a second hook would double the gradient


def test_run_continues_from_restored_weights_and_not_from_old_masters() -> None:
    module = nn.Linear(2, 1, bias=False).to(torch.bfloat16)
    before = module.weight.detach().clone()
    _step(module)
    with torch.no_grad():
        module.weight.copy_(before)
    _step(module, rate=0.0)
    assert torch.equal(module.weight, before)


def test_model_that_was_trained_in_bfloat16_can_be_trained_further_in_float32() -> None:
    module = nn.Linear(2, 1, bias=False).to(torch.bfloat16)
    _step(module)
    before = module.float().weight.detach().clone()
    _step(module)
    assert torch.allclose(module.weight, before - 0.1)


def _step(module: nn.Linear, rate: float = 0.1) -> None:
    """One step of SGD with a gradient of 1."""
    optimiser = optimiser_over(module, lambda found: torch.optim.SGD(found, lr=rate))
    module(torch.ones(1, 2, dtype=module.weight.dtype)).sum().backward()
    optimiser.step()


def test_adapters_and_heads_and_optimisers_are_in_float32(scene: Scene) -> None:
    config = PPOConfig.model_validate(ROLLOUTS | ADAPTED)
    models = load_models(scene.base, {"reward": scene.judge}, config)
    critic = critic_for(models, config)
    for name, weight in models.actor.named_parameters():
        assert weight.dtype == (torch.float32 if ".lora_" in name else torch.bfloat16), name
    assert critic.head.weight.dtype == models.judges.judges[0].model.score.weight.dtype == torch.float32
    whole = PPOConfig.model_validate(ROLLOUTS | HALF)
    full = load_models(scene.base, {"reward": scene.whole_judge}, whole)
    for model in (full.actor, full.reference.model, full.judges.judges[0].model):
        assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((kind, HALF) for kind in LOOPS),
        # Here, the critic and the reward model are further adapters of the policy's trunk.
        ("ppo", ADAPTED),
    ],
    ids=[*LOOPS, "ppo by adapters"],
)
def test_run_resumes_bitwise_with_its_masters(
    kind: str, settings: dict[str, Any], scene: Scene, tmp_path: Path
) -> None:
    report = ListReporter()
    path, _ = LOOPS[kind](scene, scene.base, tmp_path / "whole", report, **settings)
    if kind in ("ppo", "rloo"):
        assert report.series("val/first_log_ratio") == [0.0, 0.0]
        assert report.series("objective/kl")[0] == 0.0
    interrupted(kind, scene, tmp_path / "cut", checks=report.checks, **settings)
    again, _ = LOOPS[kind](scene, scene.base, tmp_path / "cut", **settings)
    assert same(stored(path), stored(again))
    saved = load_file(max((tmp_path / "cut" / "checkpoints").glob("step-*")) / "weights.safetensors")
    masters = [one for name, one in saved.items() if name.startswith("masters.")]
    assert bool(masters) == ("use_peft" not in settings)
    assert {one.dtype for one in masters} <= {torch.float32}
    assert {one.dtype for one in stored(path).values()} == {
        torch.float32 if "use_peft" in settings else torch.bfloat16
    }


def test_model_in_memory_is_converted_as_if_it_were_loaded_in_bfloat16(scene: Scene, tmp_path: Path) -> None:
    """The frequencies of rotary positions stay in float32. Otherwise, the saved policy would differ from the
    trained policy."""
    config = SFTConfig.model_validate(HALF)
    loaded, converted = (
        open_trainable(one, config, out_dir=tmp_path).model for one in (scene.base, load_policy(scene.base))
    )
    assert {weight.dtype for weight in converted.parameters()} == {torch.bfloat16}
    ids = torch.arange(4, 64).repeat(2)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, converted(ids).logits)
    for (name, one), (_, other) in zip(loaded.named_buffers(), converted.named_buffers(), strict=True):
        assert torch.equal(one, other), name
        assert one.dtype == other.dtype == torch.float32


@pytest.mark.parametrize("settings", [HALF, ADAPTED], ids=["all weights", "adapter"])
def test_loss_in_bfloat16_is_close_to_the_loss_in_float32(
    settings: dict[str, Any], scene: Scene, tmp_path: Path
) -> None:
    """bfloat16 has 8 bits of precision. The tolerances are three times the measured differences."""
    reports = {}
    for dtype in ("bfloat16", "float32"):
        reports[dtype] = ListReporter()
        given = settings | {"dtype": dtype}
        LOOPS["sft"](scene, scene.base, tmp_path / dtype, reports[dtype], **given)
    low, high = reports["bfloat16"], reports["float32"]
    assert low.series("loss") == pytest.approx(high.series("loss"), abs=0.03)
    assert low.series("loss") != high.series("loss")


def test_adapter_gradients_in_bfloat16_are_close_to_those_in_float32(scene: Scene, tmp_path: Path) -> None:
    found = {}
    for dtype in ("bfloat16", "float32"):
        config = SFTConfig.model_validate(LORA | {"dtype": dtype})
        model: Any = open_trainable(scene.base, config, out_dir=tmp_path).model
        ids = torch.tensor([[4, 5, 6, 7, 8]])
        torch.autograd.backward(model(ids, labels=ids).loss)
        found[dtype] = torch.cat(
            [
                one.grad.flatten()
                for one in lora.adapter_weights(model, lora.POLICY).values()
                if one.grad is not None
            ]
        )
    low, high = found["bfloat16"], found["float32"]
    assert low.dtype == torch.float32
    assert float((low - high).norm() / high.norm()) < 0.05
