"""A model that can't serve its purpose is refused before its weights are used: a reward model as a policy, a
model without a head, an incomplete checkpoint. transformers would load most of these models without an
error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertLMHeadModel

from tests.training.rlhf import tiny
from tests.training.rlhf.models.broken_models import copy_of, drop_weights, edit_json, saved
from tests.training.rlhf.models.parts.test_trunks import LORA, learn, saved_base
from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.refusal import Purpose, Refused
from training.rlhf.models.loading.opening import load_policy, load_reward_model
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training

torch.set_num_threads(1)
WRONG, UNREADABLE = FailureKind.WRONG_KIND_OF_MODEL, FailureKind.MODEL_UNREADABLE


def refused(load: Callable[[Path], Any], folder: Path, purpose: Purpose) -> ModelNotFound:
    """Check that the model's files fail the checks and that loading the model fails for the same reason.
    Return the error."""
    with pytest.raises(Refused) as early:
        check_model(folder, purpose)
    with pytest.raises(ModelNotFound) as caught:
        load(folder)
    assert (str(caught.value), caught.value.kind) == (str(early.value), early.value.kind)
    assert str(folder) in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", ["llama", "qwen"])
def test_reward_model_is_refused_as_a_policy(kind: str, tmp_path: Path) -> None:
    """Qwen's output layer shares the embeddings, so transformers finds every weight of a language model."""
    judge = learn(saved_base(kind, tmp_path), tmp_path / "rm").path
    error = refused(load_policy, judge, Purpose.POLICY)
    assert error.kind == WRONG
    assert "ForSequenceClassification is the architecture of a reward model, which scores" in str(error)


def test_adapter_of_a_reward_model_is_refused_as_a_policy(tmp_path: Path) -> None:
    adapter = learn(saved(tmp_path / "policy"), tmp_path / "adapter", **LORA).path
    error = refused(load_policy, adapter, Purpose.POLICY)
    assert error.kind == WRONG
    assert "it is the adapter of a reward model" in str(error)


@pytest.mark.parametrize("kind", tiny.ENCODERS)
def test_encoder_is_refused_as_a_policy(kind: str, tmp_path: Path) -> None:
    """transformers has a class for generating text with BERT, although BERT's attention sees later tokens."""
    error = refused(load_policy, saved_base(kind, tmp_path), Purpose.POLICY)
    assert error.kind == WRONG
    assert "is an encoder, which can't generate text" in str(error)


def test_bert_trained_as_a_decoder_is_accepted_as_a_policy(tmp_path: Path) -> None:
    model = BertLMHeadModel(BertConfig(**tiny.ENCODER, **tiny.SHAPE, is_decoder=True))
    folder = save_model(model, tiny.encoder_tokenizer(), tmp_path / "bert")
    assert load_policy(folder).model.config.is_decoder


def test_policy_is_refused_as_a_reward_model(tmp_path: Path) -> None:
    error = refused(load_reward_model, saved(tmp_path / "policy"), Purpose.REWARD_MODEL)
    assert error.kind == WRONG
    assert "it has no reward head (score.weight or classifier.weight)" in str(error)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_reward_model_that_lost_its_head_is_refused_for_further_training(kind: str, tmp_path: Path) -> None:
    """transformers would initialise the head at random, and the earlier training would silently be lost."""
    judge = learn(saved_base(kind, tmp_path), tmp_path / "rm").path
    drop_weights(judge / "model.safetensors", "score" if kind == "llama" else "classifier")
    error = refused(load_for_training, judge, Purpose.TRUNK)
    assert error.kind == WRONG
    assert "According to its config.json, it was saved with one" in str(error)


def test_untied_model_without_its_output_layer_is_refused(tmp_path: Path) -> None:
    tied = save_model(tiny.qwen_policy(), tiny.tokenizer(), tmp_path / "qwen")
    edit_json(tied, tie_word_embeddings=False)
    error = refused(load_policy, tied, Purpose.POLICY)
    assert error.kind == WRONG
    assert "no weights for its output layer (lm_head)" in str(error)


def test_model_without_a_generation_head_can_still_be_trained_as_a_reward_model(tmp_path: Path) -> None:
    trunk = save_model(tiny.policy().model, tiny.tokenizer(), tmp_path / "trunk")
    assert json.loads((trunk / "config.json").read_text())["architectures"] == ["LlamaModel"]
    assert refused(load_policy, trunk, Purpose.POLICY).kind == WRONG
    assert load_for_training(trunk).model.score.weight.shape == (1, 32)


def test_separate_output_layer_is_kept_even_if_the_config_ties_the_embeddings(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    edit_json(folder, tie_word_embeddings=True)
    stored = load_file(folder / "model.safetensors")["lm_head.weight"]
    again = save_model(*load_policy(folder), tmp_path / "again")
    model: Any = load_policy(again).model
    assert torch.equal(model.lm_head.weight, stored)
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def break_index(folder: Path) -> None:
    load_policy(folder).model.save_pretrained(folder, max_shard_size="20kB")
    (folder / "model.safetensors").unlink()
    sorted(folder.glob("model-*.safetensors"))[1].unlink()


def cut_in_half(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


INCOMPLETE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a layer is missing": (
        lambda folder: drop_weights(folder / "model.safetensors", "layers.1"),
        "config.json specifies 2 layers, but the model has no weights for layer 1",
    ),
    "a shard is missing": (break_index, "which is missing. Download the model again"),
    "the weights are truncated": (cut_in_half, "model.safetensors is truncated"),
    "the weights are pickled": (pickle_only, "the folder has only pytorch_model.bin. Models are read from"),
    "the embeddings have fewer rows than vocab_size": (
        lambda folder: edit_json(folder, vocab_size=80),
        "vocab_size=80, but the embeddings in the weights have 69 rows",
    ),
    "the weights are quantised": (
        lambda folder: edit_json(folder, quantization_config={"quant_method": "gptq", "bits": 4}),
        "its weights are quantised, so they can't be trained",
    ),
    "the tokenizer is missing": (
        without_tokenizer,
        "the folder has no tokenizer (tokenizer.json)",
    ),
}


@pytest.mark.parametrize("damage", INCOMPLETE)
def test_incomplete_model_is_refused_by_the_file_checks_and_on_loading(damage: str, tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole")
    check_model(whole, Purpose.POLICY)
    folder = copy_of(whole, tmp_path / "broken")
    broken, reason = INCOMPLETE[damage]
    broken(folder)
    error = refused(load_policy, folder, Purpose.POLICY)
    assert (error.kind, reason in str(error)) == (UNREADABLE, True), str(error)


@pytest.mark.parametrize("kind", [*tiny.POLICIES, *tiny.ENCODERS])
def test_usable_models_of_every_kind_pass_the_checks(kind: str, tmp_path: Path) -> None:
    base = saved_base(kind, tmp_path)
    check_model(base, Purpose.TRUNK if kind in tiny.ENCODERS else Purpose.POLICY)
    for name, settings in {"whole": {}, "adapter": LORA}.items():
        judge = learn(base, tmp_path / name, **settings).path
        check_model(judge, Purpose.REWARD_MODEL)
        check_model(judge, Purpose.TRUNK)
