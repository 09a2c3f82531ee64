"""An adapter that lacks weights, or that was trained on a base model of a different shape, is refused with a
reason. Most of these checks read only files and run before the base model is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import copy_of, drop_weights, edit_json, move_adapter, saved
from tests.training.rlhf.models.checks.test_purposes import refused
from tests.training.rlhf.models.parts.test_trunks import LORA, learn
from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.refusal import Purpose
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training

torch.set_num_threads(1)
DOES_NOT_FIT = FailureKind.ADAPTER_DOES_NOT_FIT


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return learn(base, base.parent / "adapter", **LORA).path


def policy_adapter(base: Path, out: Path, **settings: Any) -> Path:
    """A LoRA adapter for a policy, saved with peft, as other tools save it."""
    model, words = load_policy(base)
    lora = LoraConfig(target_modules=["q_proj"], r=4, task_type=TaskType.CAUSAL_LM, **settings)
    adapted = get_peft_model(model, lora)
    adapted.active_peft_config.base_model_name_or_path = str(base)
    adapted.save_pretrained(str(out))
    words.save_pretrained(out)
    return out


def test_reward_model_adapter_without_a_head_is_refused(adapter: Path, tmp_path: Path) -> None:
    folder = copy_of(adapter, tmp_path / "headless")
    drop_weights(folder / "adapter_model.safetensors", "score")
    for load, purpose in ((load_reward_model, Purpose.REWARD_MODEL), (load_for_training, Purpose.TRUNK)):
        error = refused(load, folder, purpose)
        assert error.kind == DOES_NOT_FIT
        assert "has no weights for classifier or score, the reward head that was trained with" in str(error)
        assert 'Save the adapter with modules_to_save=["score"]' in str(error)


def test_adapter_of_a_policy_is_refused_as_a_reward_model(base: Path, tmp_path: Path) -> None:
    folder = policy_adapter(base, tmp_path / "adapter")
    assert load_policy(folder).model.config.model_type == "llama"
    error = refused(load_reward_model, folder, Purpose.REWARD_MODEL)
    assert error.kind == FailureKind.WRONG_KIND_OF_MODEL
    assert (
        "neither the adapter nor its base model has a reward head (score.weight or classifier.weight)"
        in str(error)
    )


def test_adapter_that_lacks_the_weights_of_a_trained_module_is_refused(base: Path, tmp_path: Path) -> None:
    folder = policy_adapter(base, tmp_path / "adapter", modules_to_save=["lm_head"])
    assert load_policy(folder)
    drop_weights(folder / "adapter_model.safetensors", "lm_head")
    error = refused(load_policy, folder, Purpose.POLICY)
    assert error.kind == DOES_NOT_FIT
    assert "lists lm_head in modules_to_save, but adapter_model.safetensors has no weights" in str(error)


def test_adapter_for_a_wider_base_is_refused(base: Path, tmp_path: Path) -> None:
    wide = saved(tmp_path / "wide", hidden_size=64)
    folder = move_adapter(learn(wide, tmp_path / "adapter", **LORA).path, base)
    error = refused(load_reward_model, folder, Purpose.REWARD_MODEL)
    assert error.kind == DOES_NOT_FIT
    assert (
        "for model.layers.0.mlp.down_proj with 64×64 weights, but in the base model, this module has 32×64"
        in str(error)
    )
    assert "The adapter was trained on a different base model" in str(error)


def test_adapter_for_a_deeper_base_is_refused(base: Path, tmp_path: Path) -> None:
    """peft ignores the matrices for layers that the base model does not have."""
    deep = saved(tmp_path / "deep", num_hidden_layers=3)
    folder = move_adapter(learn(deep, tmp_path / "adapter", **LORA).path, base)
    error = refused(load_reward_model, folder, Purpose.REWARD_MODEL)
    assert error.kind == DOES_NOT_FIT
    assert "weights for layer 2" in str(error)
    assert "the base model has 2 layers" in str(error)


def test_adapter_for_another_architecture_is_refused(base: Path, tmp_path: Path) -> None:
    gpt2 = save_model(tiny.gpt2_policy(), tiny.tokenizer(), tmp_path / "gpt2")
    folder = move_adapter(learn(gpt2, tmp_path / "adapter", **LORA).path, base)
    error = refused(load_reward_model, folder, Purpose.REWARD_MODEL)
    assert error.kind == DOES_NOT_FIT
    assert "modules that the adapter changes, for example transformer.h.0.attn.c_attn" in str(error)


def test_adapter_with_matrices_for_missing_modules_is_refused_after_loading(
    base: Path, tmp_path: Path
) -> None:
    """The files of the base model alone do not show that a module is missing, because transformers renames
    weights. peft ignores matrices for missing modules."""
    adapter = policy_adapter(base, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    extra = {name.replace("q_proj", "z_proj"): matrix.clone() for name, matrix in weights.items()}
    save_file(weights | extra, file, metadata={"format": "pt"})
    with pytest.raises(
        ModelNotFound, match=r"it has weights for .*z_proj.*which the base model does not"
    ) as e:
        load_policy(adapter)
    assert e.value.kind == DOES_NOT_FIT


def test_adapter_of_an_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    folder = move_adapter(copy_of(adapter, tmp_path / "second"), adapter)
    assert "adapter for another adapter" in str(refused(load_reward_model, folder, Purpose.REWARD_MODEL))


def test_adapter_that_is_not_lora_is_refused(adapter: Path, tmp_path: Path) -> None:
    folder = copy_of(adapter, tmp_path / "other")
    edit_json(folder, "adapter_config.json", peft_type="IA3")
    error = refused(load_reward_model, folder, Purpose.REWARD_MODEL)
    assert error.kind == FailureKind.WRONG_KIND_OF_MODEL
    assert "it is an adapter of type IA3, not LORA" in str(error)


def test_error_for_an_adapter_with_resized_embeddings_names_the_fix(base: Path, tmp_path: Path) -> None:
    adapter = policy_adapter(base, tmp_path / "adapter", modules_to_save=["embed_tokens"])
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    (name,) = [name for name in weights if "embed_tokens" in name]
    save_file(weights | {name: torch.zeros(72, 32)}, file, metadata={"format": "pt"})
    error = refused(load_policy, adapter, Purpose.POLICY)
    assert error.kind == DOES_NOT_FIT
    assert "embed_tokens.weight has the shape 72×32, but its shape in the base model is 69×32" in str(error)
    assert "Call model.resize_token_embeddings(72) on the base model and save it" in str(error)
    assert "another base model" not in str(error)
