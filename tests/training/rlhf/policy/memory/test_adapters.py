"""A policy that is trained as a LoRA adapter shares one trunk with the other models, has an exact reference,
and is saved as an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import (
    LOOPS,
    LORA,
    PROMPTS,
    RANKINGS,
    ROLLOUTS,
    Scene,
    build_scene,
    distinct_numbers,
    interrupted,
    same,
    stored,
)
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.reporter import Cancelled
from training.rlhf.data.answers import Together
from training.rlhf.models.files.adapters import is_adapter
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.loading.opening import load_policy, load_reward_model, open_generator
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.loading.trainable import open_trainable
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import plain
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward import reward_model
from training.rlhf.reward.scoring import score
from training.rlhf.rollouts.critic import critic_for
from training.rlhf.rollouts.reference import move_reference, weights_of
from training.rlhf.rollouts.rollout import Models, load_models, observe, sample_rollout, usable_prompts

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@pytest.fixture(scope="module")
def adapter(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that is an adapter with a visible effect."""
    folder = tmp_path_factory.mktemp("adapter")
    return LOOPS["sft"](scene, scene.base, folder, **LORA, epochs=2)[0]


def models_of(scene: Scene, policy: Path, **settings: Any) -> tuple[PPOConfig, Models]:
    config = PPOConfig.model_validate(ROLLOUTS | LORA | settings)
    return config, load_models(policy, {"reward": scene.judge}, config)


def logits_of(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(torch.tensor([[4, 5, 6, 7, 8]])).logits
    return found


@pytest.mark.parametrize("kind", LOOPS)
def test_run_stores_only_the_adapter_and_resumes_bitwise(kind: str, scene: Scene, tmp_path: Path) -> None:
    base, report = (scene.base / "model.safetensors").read_bytes(), ListReporter()
    path, metrics = LOOPS[kind](scene, scene.base, tmp_path / "whole", report, **LORA)
    assert is_adapter(path)
    assert not (path / "config.json").exists()
    told = json.loads((path / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["r"], told["task_type"]) == (
        str(scene.base),
        4,
        "CAUSAL_LM",
    )
    assert all(".lora_" in name for name in stored(path))
    trained = sum(tensor.numel() for tensor in stored(path).values())
    newest = max((tmp_path / "whole" / "checkpoints").glob("step-*"))
    saved = sum(t.numel() for t in load_file(newest / "weights.safetensors").values())
    assert saved == trained + (trained + 33 if kind == "ppo" else 0)  # PPO's critic has an adapter and a head
    assert (scene.base / "model.safetensors").read_bytes() == base
    changes = report.series("parameters/change")
    assert changes[-1] > 0

    interrupted(kind, scene, tmp_path / "cut", checks=report.checks, **LORA)
    again, repeated = LOOPS[kind](scene, scene.base, tmp_path / "cut", **LORA)
    assert same(stored(path), stored(again))
    assert clocked_out(metrics) == clocked_out(repeated)


def clocked_out(metrics: dict[str, float]) -> dict[str, float]:
    return {k: v for k, v in metrics.items() if not k.startswith("seconds/") and k != "tokens_per_second"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("begin", ["base", "adapter"])
def test_reference_and_first_ratio_are_exact_without_a_second_copy_of_the_base(
    dtype: str, begin: str, scene: Scene, adapter: Path
) -> None:
    config, models = models_of(scene, scene.base if begin == "base" else adapter, dtype=dtype)
    critic = critic_for(models, config)
    everything = [models.actor, models.reference.model, critic, *(j.model for j in models.judges.judges)]
    base = sum(one.numel() for one in load_policy(scene.base).model.parameters())
    matrices = sum(one.numel() for one in stored(adapter).values())
    # The adapters of the policy, the reward model and the critic, and two heads. If the run starts from an
    # adapter, a frozen copy of this adapter is added.
    adapters = 3 if begin == "base" else 4
    assert distinct_numbers(*everything) == base + adapters * matrices + 32 + 33
    prompts = usable_prompts(config, models, PROMPTS)
    rollout = sample_rollout(config, models, prompts, [0, 1, 2], step=1)
    seen = observe(models, rollout, Together("separate", list(range(6))))
    assert torch.equal(seen.log_probs, seen.reference)
    start = load_policy(scene.base if begin == "base" else adapter)
    if dtype == "float32":
        assert torch.allclose(logits_of(models.actor), logits_of(start.model), atol=1e-5)
        if begin == "base":
            assert torch.equal(logits_of(models.actor), logits_of(start.model))


def test_shared_trunk_does_not_change_the_rewards_of_a_reward_model(scene: Scene) -> None:
    _, models = models_of(scene, scene.base)
    judge = models.judges.judges[0]
    assert judge.adapter is not None
    items = [(PROMPTS[0], ["w3 good", "w5"])]
    [alone] = score(*load_reward_model(scene.judge), items)
    assert torch.allclose(judge.rewards_of_texts(items).raw, alone, atol=1e-5)
    assert float((alone[0] - alone[1]).abs()) > 0.01
    # The judge's adapter is inactive again after scoring.
    assert torch.equal(logits_of(models.actor), logits_of(load_policy(scene.base).model))


def test_reward_model_that_does_not_fit_the_trunk_gets_its_own_trunk(scene: Scene, tmp_path: Path) -> None:
    config = PPOConfig.model_validate(ROLLOUTS | LORA)
    whole = load_models(scene.base, {"reward": scene.whole_judge}, config).judges.judges[0]
    assert whole.adapter is None
    other = save_model(tiny.policy(seed=5), tiny.tokenizer(), tmp_path / "other")
    apart = load_models(other, {"reward": scene.judge}, config).judges.judges[0]
    assert apart.adapter is None
    without = config.model_copy(update={"use_peft": False})
    assert load_models(scene.base, {"reward": scene.judge}, without).judges.judges[0].adapter is None


@pytest.mark.parametrize("recompute", [False, True])
def test_gradients_of_policy_and_critic_are_separate(recompute: bool, scene: Scene, adapter: Path) -> None:
    config, models = models_of(scene, adapter, gradient_checkpointing=recompute)
    critic = critic_for(models, config)
    torch.nn.init.ones_(critic.head.weight)
    rollout = sample_rollout(config, models, usable_prompts(config, models, PROMPTS), [0, 1], step=1)
    seen = observe(models, rollout, Together("separate", [0, 1, 2, 3]))
    log_probs = token_log_probs(models.actor, seen.rows.inputs, temperature=1.0)
    with critic.active():
        torch.autograd.backward(critic(seen.rows.inputs).sum())
    touched = {name for name, one in models.actor.named_parameters() if one.grad is not None}
    assert touched
    assert all(f".{lora.CRITIC}." in name for name in touched)
    models.actor.zero_grad()
    torch.autograd.backward(log_probs.sum())
    touched = {name for name, one in models.actor.named_parameters() if one.grad is not None}
    assert all(f".{lora.POLICY}." in name for name in touched)
    gradients = {
        name: one.grad.clone() for name, one in models.actor.named_parameters() if one.grad is not None
    }
    # The gradients equal those of the same policy without other adapters and without recomputation.
    alone = open_generator(adapter).model
    found = token_log_probs(alone, seen.rows.inputs, temperature=1.0)
    torch.autograd.backward(found.sum())
    for name, one in alone.named_parameters():
        if one.requires_grad:
            assert torch.allclose(gradients[name], one.grad, atol=1e-5), name


def test_adapter_trained_further_keeps_its_base_and_starts_with_a_kl_of_zero(
    scene: Scene, adapter: Path, tmp_path: Path
) -> None:
    report = ListReporter()
    path, _ = LOOPS["rloo"](scene, adapter, tmp_path, report, **LORA | {"learning_rate": 1e-9, "lora_r": 16})
    told = json.loads((path / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["r"]) == (str(scene.base), 4)
    assert stored(path).keys() == stored(adapter).keys()
    assert report.series("val/first_log_ratio") == [0.0, 0.0]
    assert report.series("objective/kl")[0] == 0.0
    assert max(report.series("parameters/change")) < 1e-4
    # Without use_peft, the adapter is merged, and the result is a complete model.
    whole, _ = LOOPS["rloo"](scene, adapter, tmp_path / "whole", learning_rate=1e-9)
    assert not is_adapter(whole)
    assert torch.allclose(
        logits_of(load_policy(whole).model), logits_of(load_policy(adapter).model), atol=1e-4
    )


def test_norm_of_the_change_of_an_adapter_matches_that_of_the_merged_weights(
    scene: Scene, adapter: Path
) -> None:
    start = dict(load_policy(scene.base).model.named_parameters())
    merged = dict(load_policy(adapter).model.named_parameters())
    opened = open_generator(adapter).model
    norm = sum(float((merged[name] - start[name]).detach().double().square().sum()) for name in start) ** 0.5
    assert lora.adapter_change(opened) == pytest.approx(norm, rel=1e-4)
    lora.copy_adapter(opened, lora.POLICY, lora.START, trained=False)
    assert lora.adapter_change(opened, start=lora.START) == pytest.approx(0.0, abs=1e-5)


def test_reference_that_changes_is_a_second_adapter(scene: Scene, tmp_path: Path) -> None:
    settings = LORA | {"reference": "ema", "reference_decay": 0.5}
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    path, metrics = LOOPS["rloo"](scene, scene.base, whole, **settings)
    with pytest.raises(Cancelled):
        LOOPS["rloo"](scene, scene.base, cut, ListReporter(cancel_after=14), **settings)
    again, repeated = LOOPS["rloo"](scene, scene.base, cut, **settings)
    assert same(stored(path), stored(again))
    assert clocked_out(metrics) == clocked_out(repeated)
    kept = load_file(max((whole / "checkpoints").glob("step-*")) / "data.safetensors")
    moved = {name.removeprefix("reference."): one for name, one in kept.items()}
    trained = stored(path)
    assert moved.keys() == trained.keys()
    assert not same(moved, trained)


def test_reference_can_be_reset_to_or_averaged_with_the_trained_adapter(scene: Scene) -> None:
    for kind in ("reset", "ema"):
        config, models = models_of(scene, scene.base, reference=kind, reference_steps=2, reference_decay=0.75)
        before = {name: one.clone() for name, one in models.reference.weights().items()}
        policy = lora.adapter_weights(models.actor, lora.POLICY)
        assert before.keys() == policy.keys()
        with torch.no_grad():
            for weight in policy.values():
                weight.add_(1.0)
        move_reference(config, models.reference, weights_of(models.actor), 1)
        ahead = 0.25 if kind == "ema" else 0.0
        for name, one in models.reference.weights().items():
            assert torch.allclose(one, before[name] + ahead), name
        move_reference(config, models.reference, weights_of(models.actor), 2)
        if kind == "reset":
            assert same(models.reference.weights(), {name: one.data for name, one in policy.items()})


def test_policy_above_the_ceiling_returns_to_the_last_adapter_below_the_ceiling(
    scene: Scene, tmp_path: Path
) -> None:
    settings = LORA | {"kl_ceiling": 1e-6, "learning_rate": 5e-2, "kl_coefficient": 0.0}
    path, metrics = LOOPS["rloo"](scene, scene.base, tmp_path, **settings, steps=1)
    assert metrics["went_back"] == 1.0
    # The kept adapter is from before the first update, so it does not change the base model's logits.
    assert torch.equal(logits_of(load_policy(path).model), logits_of(load_policy(scene.base).model))


def test_reward_model_can_start_from_the_adapter_of_a_policy(
    scene: Scene, adapter: Path, tmp_path: Path
) -> None:
    """The reward model is an adapter of the same base model, so both models share a trunk in the next run."""
    config = RewardModelConfig.model_validate(LORA | {"lora_r": 8, "epochs": 1, "learning_rate": 1e-9})
    path = reward_model.train(config, base_model=adapter, rankings=RANKINGS, out_dir=tmp_path / "rm").path
    told = json.loads((path / "adapter_config.json").read_text())
    assert (told["base_model_name_or_path"], told["r"], told["task_type"]) == (str(scene.base), 4, "SEQ_CLS")
    start, found = stored(adapter), stored(path)
    assert {name for name in found if name not in start} == {"base_model.model.score.weight"}
    assert all(torch.allclose(found[name], start[name], atol=1e-6) for name in start)
    load_reward_model(path)
    models = load_models(adapter, {"reward": path}, PPOConfig.model_validate(ROLLOUTS | LORA))
    assert models.judges.judges[0].adapter is not None


def test_adapter_on_a_base_with_different_weights_is_refused(
    scene: Scene, adapter: Path, tmp_path: Path
) -> None:
    """The other base model has the same shapes, so the adapter would be loaded without an error and would
    give wrong answers."""
    other = save_model(tiny.policy(seed=5), tiny.tokenizer(), tmp_path / "other")
    moved = tmp_path / "adapter"
    moved.mkdir()
    for file in adapter.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    told = json.loads((moved / "adapter_config.json").read_text())
    (moved / "adapter_config.json").write_text(json.dumps(told | {"base_model_name_or_path": str(other)}))
    with pytest.raises(ModelNotFound, match=r"base model at .*other are not those with which it was trained"):
        load_policy(moved)
    (moved / "adapter_config.json").write_text(json.dumps(told | {"base_model_name_or_path": "/gone"}))
    with pytest.raises(ModelNotFound, match=r"is an adapter for the model at '/gone'.*missing"):
        open_trainable(moved, SFTConfig.model_validate(LORA), out_dir=tmp_path / "out")


def test_model_in_memory_with_an_adapter_can_be_trained_again(scene: Scene, tmp_path: Path) -> None:
    config = SFTConfig.model_validate(LORA)
    plain_model = load_policy(scene.base)
    adapted = open_trainable(plain_model, config, out_dir=tmp_path)
    with torch.no_grad():
        for weight in lora.adapter_weights(adapted.model, lora.POLICY).values():
            weight.fill_(0.1)
    for _ in range(2):
        adapted = open_trainable(adapted, config, out_dir=tmp_path)
        assert lora.adapter_change(adapted.model, start=lora.START) == pytest.approx(0.0, abs=1e-6)
        assert lora.adapter_change(adapted.model) > 1
    with pytest.raises(ValueError, match="an earlier run has added an adapter to the layers of this model"):
        open_trainable(plain_model, config, out_dir=tmp_path)


def test_copy_of_an_adapter_with_dropout_computes_the_same_logits(scene: Scene) -> None:
    """A loop that generates on a server never switches the policy back to eval mode."""
    model: Any = get_peft_model(load_policy(scene.base).model, LoraConfig(r=4, lora_dropout=0.5)).eval()
    with torch.no_grad():
        for weight in lora.adapter_weights(model, lora.POLICY).values():
            weight.fill_(0.1)
    lora.copy_adapter(model, lora.POLICY, lora.CRITIC, trained=True)
    with lora.using(model, lora.CRITIC):
        assert torch.equal(logits_of(model), logits_of(model))
        copied = logits_of(model)
    assert torch.equal(copied, logits_of(model))


def test_only_the_lora_matrices_of_an_external_adapter_are_trained_further(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = LoraConfig(r=4, task_type="CAUSAL_LM", modules_to_save=["lm_head"])
    folder = saved_adapter(scene, settings, tmp_path / "adapter")
    model: Any = open_trainable(folder, SFTConfig.model_validate(LORA), out_dir=tmp_path / "out").model
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert len(trained) == len(lora.adapter_weights(model, lora.POLICY))
    assert all(".lora_" in name and lora.POLICY in name for name in trained)
    assert "lm_head.modules_to_save.default.weight" in caplog.text


@pytest.mark.parametrize("bias", ["lora_only", "all"])
def test_adapter_that_changes_biases_of_its_base_cannot_be_trained_further(
    bias: Any, scene: Scene, tmp_path: Path
) -> None:
    folder = saved_adapter(scene, LoraConfig(r=4, task_type="CAUSAL_LM", bias=bias), tmp_path / "adapter")
    with pytest.raises(UnusableInput, match=f"can't be trained further, .* bias='{bias}'.*use_peft"):
        open_trainable(folder, SFTConfig.model_validate(LORA), out_dir=tmp_path / "out")
    open_trainable(folder, SFTConfig(), out_dir=tmp_path / "out")


def saved_adapter(scene: Scene, settings: LoraConfig, folder: Path) -> Path:
    """An adapter in the form in which peft saves it."""
    get_peft_model(load_policy(scene.base).model, settings).save_pretrained(folder)
    load_policy(scene.base).tokenizer.save_pretrained(folder)
    return folder


def test_adapter_of_an_unsaved_or_overwritten_base_is_refused(scene: Scene, tmp_path: Path) -> None:
    config = SFTConfig.model_validate(LORA)
    with pytest.raises(ValueError, match="depends on the files of its base model"):
        open_trainable(Loaded(tiny.policy(), tiny.tokenizer()), config, out_dir=tmp_path)
    with pytest.raises(ValueError, match="contains the adapter's base model"):
        open_trainable(scene.base, config, out_dir=scene.base)
    with pytest.raises(ValueError, match="lora_target_modules='wrong' does not fit LlamaForCausalLM"):
        open_trainable(
            scene.base, config.model_copy(update={"lora_target_modules": "wrong"}), out_dir=tmp_path
        )


def test_separate_critic_is_a_merged_copy_of_an_adapted_reward_model(scene: Scene) -> None:
    config, models = models_of(scene, scene.base, critic="separate")
    critic = critic_for(models, config)
    assert critic.adapter is None
    merged = plain(load_reward_model(scene.judge).model).base_model
    for (name, mine), theirs in zip(critic.trunk.named_parameters(), merged.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6), name
        assert mine.requires_grad


def test_shared_critic_is_a_head_and_the_warm_up_does_not_train_the_policy(
    scene: Scene, tmp_path: Path
) -> None:
    given = {"learning_rate": 1e-3, "critic": "shared", "critic_warmup_steps": 1}
    report = ListReporter()
    path, metrics = LOOPS["ppo"](scene, scene.base, tmp_path / "whole", report, **given)
    assert report.series("parameters/change")[0] == 0.0 < metrics["parameters/change"]
    assert report.series("grad_norm/value")[0] > 0
    saved = load_file(max((tmp_path / "whole" / "checkpoints").glob("step-*")) / "weights.safetensors")
    critic = {name: one.shape for name, one in saved.items() if name.startswith("critic.")}
    assert critic == {"critic.head.weight": (1, 32), "critic.head.bias": (1,)}
    with pytest.raises(Cancelled):
        LOOPS["ppo"](scene, scene.base, tmp_path / "cut", ListReporter(cancel_after=14), **given)
    again, repeated = LOOPS["ppo"](scene, scene.base, tmp_path / "cut", **given)
    assert same(stored(path), stored(again))
    assert clocked_out(metrics) == clocked_out(repeated)


def test_gradient_of_a_shared_critic_flows_through_the_policy(scene: Scene, adapter: Path) -> None:
    config, models = models_of(scene, adapter, critic="shared")
    critic = critic_for(models, config)
    assert sum(one.numel() for one in critic.parameters()) == 33
    torch.nn.init.ones_(critic.head.weight)
    rollout = sample_rollout(config, models, usable_prompts(config, models, PROMPTS), [0], step=1)
    rows = observe(models, rollout, Together("separate", [0, 1])).rows
    for trains_policy in (False, True):
        values = critic(rows.inputs, trains_policy=trains_policy)
        torch.autograd.backward(values.sum())
        touched = [name for name, one in models.actor.named_parameters() if one.grad is not None]
        assert bool(touched) == trains_policy
        assert all(f".{lora.POLICY}." in name for name in touched)
    assert critic.head.weight.grad is not None
