"""The size that is estimated without loading a model matches the size after loading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from tests.training.rlhf import tiny
from training import demo_world
from training.rlhf.models.files import shapes


def weights_of(model: PreTrainedModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def qwen() -> Qwen3ForCausalLM:
    """A model with query and key norms, and with attention heads wider than hidden size / number of heads."""
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=300,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=256,
            tie_word_embeddings=True,
        )
    )


@pytest.mark.parametrize("model", [tiny.policy(), tiny.policy(tie_word_embeddings=True), tiny.gpt2_policy()])
def test_parameters_are_counted_from_the_config(model: PreTrainedModel) -> None:
    assert shapes.shape_of(model.config.to_dict()).weights == weights_of(model)


def test_parameter_count_omits_only_the_small_query_and_key_norms() -> None:
    model = qwen()
    assert shapes.shape_of(model.config.to_dict()).weights == pytest.approx(weights_of(model), rel=0.01)


def test_parameters_are_counted_exactly_from_the_file_headers(tmp_path: Path) -> None:
    model = qwen()
    model.save_pretrained(tmp_path, max_shard_size="100kB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    shape = shapes.shape_in(tmp_path)
    assert shape.weights == weights_of(model)
    assert (shape.layers, shape.kv_heads, shape.head_size, shape.context) == (3, 2, 32, 256)
    assert shape.cache_numbers == 2 * 3 * 2 * 32


@pytest.mark.parametrize("kind", [*tiny.ENCODERS])
def test_encoders_are_recognised_and_their_parameters_are_counted(kind: str) -> None:
    """The predicted count excludes the pooler, which the config does not mention."""
    trunk = tiny.ENCODERS[kind]().base_model
    shape = shapes.shape_of(trunk.config.to_dict())
    assert shape.encoder
    assert shape.weights == pytest.approx(weights_of(trunk), rel=0.05)
    assert not shapes.shape_of(qwen().config.to_dict()).encoder


def test_adapter_has_the_shape_of_its_base(tmp_path: Path) -> None:
    base = tmp_path / "base"
    qwen().save_pretrained(base)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(base)})
    )
    assert shapes.shape_in(tmp_path / "adapter") == shapes.shape_in(base)
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(shapes.UnknownShape, match=r"adapter_config\.json in .* does not name the model"):
        shapes.shape_in(tmp_path / "adapter")


def test_demo_shape_matches_the_demo_policy() -> None:
    policy = demo_world.build_policy(demo_world.build_tokenizer(), 0)
    shape = shapes.demo_shape()
    assert shape.weights == weights_of(policy)
    assert shape == shapes.shape_of(policy.config.to_dict())


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("Qwen/Qwen3-0.6B", 6e8),
        ("meta-llama/Llama-3.2-1B-Instruct", 1e9),
        ("someone/tiny_125m", 1.25e8),
        ("mistralai/Mistral-7B-v0.3", 7e9),
    ],
)
def test_size_is_parsed_from_the_model_name(name: str, weights: float) -> None:
    shape = shapes.shape_named(name)
    assert shape.weights == weights
    assert 64 <= shape.hidden <= 8192


@pytest.mark.parametrize("name", ["gpt2", "my-policy", "bert-0b", "EleutherAI/pythia"])
def test_name_without_a_size_raises_unknown_shape(name: str) -> None:
    with pytest.raises(shapes.UnknownShape, match="does not contain the model's size"):
        shapes.shape_named(name)


def test_unsupported_architectures_raise_unknown_shape(tmp_path: Path) -> None:
    config = GPT2Config().to_dict()
    with pytest.raises(shapes.UnknownShape, match="mixture"):
        shapes.shape_of({**config, "num_experts": 8})
    with pytest.raises(shapes.UnknownShape, match="no hidden_size"):
        shapes.shape_of({"vocab_size": 3})
    for text in ("[1]", "{", json.dumps({"hidden_size": "large"})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(shapes.UnknownShape):
            shapes.shape_in(tmp_path)


def test_size_is_read_from_the_config_if_the_weights_file_is_damaged(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=90, n_positions=16))
    model.save_pretrained(tmp_path)
    for broken in (b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", (1 << 62).to_bytes(8, "little") + b"{}"):
        (tmp_path / "model.safetensors").write_bytes(broken)
        assert shapes.shape_in(tmp_path).weights == weights_of(model)
