"""Rankloop uses only the language model of a multimodal model. The vision tower has separate layers, and the
language model has one name in the files that transformers saves and another name in adapters."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    MllamaConfig,
    MllamaForConditionalGeneration,
)

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import copy_of, drop_weights, move_adapter
from tests.training.rlhf.models.checks.test_purposes import refused
from tests.training.rlhf.models.parts.test_trunks import LORA, learn
from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.refusal import Purpose
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model

torch.set_num_threads(1)
VISION_LAYERS = 4


def saved(folder: Path, *, width: int = 32, layers: int = 2, vision_layers: int = VISION_LAYERS) -> Path:
    text = {**tiny.COMMON, **tiny.SHAPE, "num_key_value_heads": 1, "head_dim": 16}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config=text | {"hidden_size": width, "num_hidden_layers": layers},
        vision_config=vision | {"num_hidden_layers": vision_layers, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        **{"image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7},
    )
    return save_model(Gemma3ForConditionalGeneration(config).eval(), tiny.tokenizer(), folder)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "policy")


def adapter_of(base: Path, targets: str, out: Path) -> Path:
    model, words = load_policy(base)
    lora = LoraConfig(target_modules=targets, r=2, task_type=TaskType.CAUSAL_LM, init_lora_weights=False)
    adapted = get_peft_model(model, lora)
    adapted.active_peft_config.base_model_name_or_path = str(base)
    adapted.save_pretrained(str(out), save_embedding_layers=False)
    words.save_pretrained(out)
    return out


@pytest.mark.parametrize("targets", ["all-linear", r".*language_model.*q_proj", r".*vision_tower.*q_proj"])
def test_adapter_of_a_multimodal_policy_changes_its_target_modules(
    targets: str, base: Path, tmp_path: Path
) -> None:
    adapter = adapter_of(base, targets, tmp_path / "adapter")
    check_model(adapter, Purpose.POLICY)
    ours, theirs = load_policy(adapter).model.state_dict(), load_policy(base).model.state_dict()
    changed = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert ("language_model" in str(changed)) == ("vision" not in targets)
    assert ("vision_tower" in str(changed)) == ("language" not in targets)


def test_adapter_that_rankloop_trained_on_a_multimodal_base_is_loaded(base: Path, tmp_path: Path) -> None:
    adapter = learn(base, tmp_path / "adapter", **LORA).path
    check_model(adapter, Purpose.REWARD_MODEL)
    assert load_reward_model(adapter).model.config.model_type == "gemma3"


@pytest.mark.parametrize(
    ("targets", "changes", "reason"),
    [
        (r".*language_model.*q_proj", {"layers": 3}, "weights for layer 2 .* the base model has 2 layers"),
        (r".*vision_tower.*q_proj", {"vision_layers": 6}, "layer 4 .* the base model has 4 vision layers"),
        (r".*language_model.*q_proj", {"width": 64}, "q_proj with 32×64 weights, .* has 32×32 weights"),
    ],
    ids=["deeper", "deeper vision tower", "wider"],
)
def test_adapter_for_another_multimodal_base_is_refused(
    targets: str, changes: dict[str, int], reason: str, base: Path, tmp_path: Path
) -> None:
    adapter = adapter_of(saved(tmp_path / "other", **changes), targets, tmp_path / "adapter")
    error = refused(load_policy, move_adapter(adapter, base), Purpose.POLICY)
    assert re.search(reason, str(error)), error
    assert "The adapter was trained on a different base model" in str(error)


def test_missing_layer_is_refused_even_if_the_vision_tower_has_that_layer(base: Path, tmp_path: Path) -> None:
    folder = copy_of(base, tmp_path / "broken")
    drop_weights(folder / "model.safetensors", "language_model.model.layers.1.")
    error = refused(load_policy, folder, Purpose.POLICY)
    assert "2 layers, but the model has no weights for layer 1." in str(error)


def test_token_that_llama_vision_reads_but_does_not_write_is_accepted(tmp_path: Path) -> None:
    """Llama 3.2 Vision has eight more embeddings than vocab_size, of which <|image|> uses the first."""
    words = tiny.tokenizer()
    words.add_special_tokens({"extra_special_tokens": ["<|image|>"]})
    text = {**tiny.COMMON, **tiny.SHAPE, "num_key_value_heads": 2, "cross_attention_layers": [1]}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1}
    vision |= {"attention_heads": 2, "image_size": 28, "patch_size": 14, "vision_output_dim": 64}
    tiles = {"intermediate_layers_indices": [0], "max_num_tiles": 1, "supported_aspect_ratios": [[1, 1]]}
    config = MllamaConfig(text_config=text, vision_config={**vision, **tiles}, image_token_index=69)
    folder = save_model(MllamaForConditionalGeneration(config).eval(), words, tmp_path / "policy")
    check_model(folder, Purpose.POLICY)
    model, loaded = load_policy(folder)
    assert loaded.convert_tokens_to_ids("<|image|>") == 69
    assert model.get_input_embeddings().weight.shape[0] == 77
    words.add_tokens(["[NEW]"])
    words.save_pretrained(folder)
    with pytest.raises(ModelNotFound, match=r"embedding: '\[NEW\]' \(ID 70\)"):
        load_policy(folder)
