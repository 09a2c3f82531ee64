"""Models of the Llama family take a fast path, whose logits equal those of the model's forward pass. All
other models take the general path."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.training.rlhf import tiny
from tests.training.rlhf.generation.test_same_as_transformers import theirs
from training.rlhf.generation.decoding import Rows, generate
from training.rlhf.generation.forward import ForwardBatch
from training.rlhf.generation.llama.recognition import trunk_of_family
from training.rlhf.generation.llama.rows import LlamaBatch
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.forward.recompute import recompute_layers
from training.rlhf.models.parts import products

torch.set_num_threads(1)
WORDS = tiny.tokenizer()
PROMPTS = [[2, *range(5, 5 + length)] for length in (9, 9, 4, 1, 12)]
GQA = {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 48}


def _model(kind: Any, config: Any, **changes: Any) -> PreTrainedModel:
    return tiny._seeded(kind, config(**(tiny.COMMON | tiny.SHAPE | GQA | changes)), 3)


def _with_lora(*modules: str, **settings: Any) -> PreTrainedModel:
    targets = list(modules or ("q_proj", "down_proj"))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        base = tiny.policy(seed=2)
        adapted: Any = get_peft_model(base, LoraConfig(r=2, target_modules=targets, **settings))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name or "lora_embedding" in name or "modules_to_save" in name:
                parameter.normal_()
    return adapted.eval()  # type: ignore[no-any-return]


def _wide_with_a_sliding_window() -> PreTrainedModel:
    """A model that takes the general path, and is wide enough for MKL and oneDNN to round its products
    differently."""
    changes = {"hidden_size": 256, "num_attention_heads": 4}
    return _model(MistralForCausalLM, MistralConfig, sliding_window=8, **changes)


def _with_recomputed_layers() -> PreTrainedModel:
    model = _with_lora()
    recompute_layers(model)
    return model


FAMILY: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": lambda: tiny.policy(seed=1),
    "llama3 rope": lambda: tiny.policy(
        seed=1,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    ),
    "llama with biases": lambda: tiny.policy(seed=1, attention_bias=True, mlp_bias=True),
    "qwen2": lambda: _model(Qwen2ForCausalLM, Qwen2Config),
    "qwen3": lambda: _model(Qwen3ForCausalLM, Qwen3Config, head_dim=24, tie_word_embeddings=True),
    "mistral": lambda: _model(MistralForCausalLM, MistralConfig, sliding_window=None),
    "lora": _with_lora,
    "lora on the output layer": lambda: _with_lora("lm_head"),
    "lora with gradient checkpointing": _with_recomputed_layers,
}  # fmt: skip
OTHERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": tiny.gpt2_policy,
    "neox": tiny.neox_policy,
    "sliding window": lambda: _model(MistralForCausalLM, MistralConfig, sliding_window=8),
    "some layers with a sliding window": lambda: _model(
        Qwen3ForCausalLM,
        Qwen3Config,
        layer_types=["full_attention", "sliding_attention"],
        use_sliding_window=True,
        sliding_window=8,
    ),
    "alibi": lambda: _model(FalconForCausalLM, FalconConfig, alibi=True, new_decoder_architecture=False),
    "dynamic rope": lambda: tiny.policy(
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 2.0}
    ),
    "another activation": lambda: tiny.policy(hidden_act="gelu"),
    "lora on the embedding": lambda: _with_lora("embed_tokens"),
    "lora with its own embedding": lambda: _with_lora("q_proj", modules_to_save=["embed_tokens"]),
    "lora with its own output layer": lambda: _with_lora("q_proj", modules_to_save=["lm_head"]),
    "lora with its own norms": lambda: _with_lora("q_proj", modules_to_save=["input_layernorm"]),
    "subclass": lambda: type("Other", (LlamaForCausalLM,), {})(tiny.policy().config).eval(),
}


@cache
def made(name: str) -> PreTrainedModel:
    return (FAMILY | OTHERS)[name]()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("n", [1, 3])
def test_logits_equal_those_of_the_general_path(name: str, n: int) -> None:
    """Some rows are dropped during decoding, and some prompts have no rows left."""
    trunk = trunk_of_family(made(name))
    assert trunk is not None
    fast = LlamaBatch(trunk, PROMPTS, n=n, limit=8)
    slow = ForwardBatch(made(name), PROMPTS, n=n, limit=8, pad=0)
    rows = 5 * n
    with torch.no_grad():
        torch.testing.assert_close(fast.read(lambda: None), slow.read(lambda: None), atol=2e-5, rtol=1e-4)
        for step in range(8):
            tokens = torch.arange(rows) * 7 % 60 + 4
            torch.testing.assert_close(fast.step(tokens), slow.step(tokens), atol=2e-5, rtol=1e-4)
            if step in (2, 4):
                dropped = {*range(n, 2 * n), 4 * n} if step == 2 else {0}
                kept = [row for row in range(rows) if row not in dropped]
                fast.keep(kept)
                slow.keep(kept)
                rows = len(kept)
    assert rows == 4 * n - 2


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_take_the_general_path_and_answer_like_transformers(name: str) -> None:
    model = made(name)
    assert trunk_of_family(model) is None
    ours = generate(model, WORDS, PROMPTS, n=2, max_new_tokens=10, temperature=0)
    assert [[group[1].ids] for group in ours] == [theirs(model, prompt, 10) for prompt in PROMPTS]


@pytest.mark.parametrize("name", FAMILY)
def test_llama_family_answers_like_transformers(name: str) -> None:
    model = made(name)
    ours = generate(model, WORDS, PROMPTS, n=2, max_new_tokens=10, temperature=0)
    assert [[group[1].ids] for group in ours] == [theirs(model, prompt, 10) for prompt in PROMPTS]


def test_model_whose_forward_pass_was_changed_takes_the_general_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    replaced = tiny.policy()
    replaced.model.norm.forward = lambda hidden: hidden
    assert trunk_of_family(replaced) is None
    hooked = tiny.policy()
    hooked.model.layers[1].register_forward_hook(lambda *_: None)
    assert trunk_of_family(hooked) is None
    assert not caplog.records
    scaled = tiny.policy()
    scaled.model.layers[1].self_attn.scaling = 0.5  # only a comparison of logits detects this change
    assert trunk_of_family(scaled) is None
    assert "computes different logits" in caplog.text


def test_decoding_reads_the_current_weights() -> None:
    model = tiny.policy()
    before = generate(model, WORDS, PROMPTS, max_new_tokens=10, temperature=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.flip(parameter, [0]))
    after = generate(model, WORDS, PROMPTS, max_new_tokens=10, temperature=0)
    assert after != before
    assert [[one.ids] for [one] in after] == [theirs(model, prompt, 10) for prompt in PROMPTS]


@pytest.mark.parametrize("make", [tiny.policy, _wide_with_a_sliding_window, _with_lora])
def test_logits_are_bitwise_identical_before_and_after_a_training_pass(
    make: Callable[[], PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only training passes used oneDNN, the answers before the first training pass would differ from those
    after it. A resumed run could then sample answers that differ from those of an uninterrupted run."""
    monkeypatch.setattr(products, "SMALLEST_ROWS", 1)
    monkeypatch.setattr(products, "SMALLEST_PRODUCT", 1)
    model, given = make(), torch.tensor([PROMPTS[0]])

    def logits() -> torch.Tensor:
        trunk = trunk_of_family(model)
        if trunk is None:
            batch: Rows = ForwardBatch(model, PROMPTS, n=2, limit=3, pad=0)
        else:
            batch = LlamaBatch(trunk, PROMPTS, n=2, limit=3)
        tokens = torch.arange(30).view(3, 10) + 4
        return torch.cat([batch.read(lambda: None), *map(batch.step, tokens)])

    with torch.no_grad():
        before = logits()
        token_log_probs(model, Inputs.of(given, torch.ones_like(given), given > 4), temperature=1.0)
        assert torch.equal(logits(), before)


def test_model_can_be_trained_after_decoding() -> None:
    """Tensors that were created in inference mode can't be saved for a backward pass."""
    model = tiny.policy()
    generate(model, WORDS, PROMPTS, n=2, max_new_tokens=4)
    ids = torch.tensor([PROMPTS[0]])
    model(input_ids=ids, labels=ids).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_take_the_fast_path(dtype: torch.dtype) -> None:
    model = tiny.policy(seed=1).to(dtype)
    trunk = trunk_of_family(model)
    assert trunk is not None
    assert trunk.token_bytes == 2 * 2 * 2 * 8 * 2
    answers = generate(model, WORDS, PROMPTS, n=2, max_new_tokens=6)
    assert [len(group) for group in answers] == [2] * 5


def test_bfloat16_model_with_a_float32_adapter_takes_the_fast_path() -> None:
    model = _with_recomputed_layers()
    for name, parameter in model.named_parameters():
        if ".lora_" not in name:
            parameter.data = parameter.data.to(torch.bfloat16)
    trunk = trunk_of_family(model)
    assert trunk is not None
    assert trunk.dtype == torch.bfloat16
    batches = [
        LlamaBatch(trunk, PROMPTS, n=2, limit=3),
        ForwardBatch(model, PROMPTS, n=2, limit=3, pad=0),
        ForwardBatch(copy.deepcopy(model).float(), PROMPTS, n=2, limit=3, pad=0),
    ]
    with torch.no_grad():
        logits = [
            torch.cat([one.read(lambda: None), *map(one.step, torch.arange(30).view(3, 10) + 4)])
            for one in batches
        ]
    # The reference logits are computed with the same weights in float32, so they have hardly any rounding
    # errors.
    ours, own = ((one.float() - logits[2]).norm() for one in logits[:2])
    assert 0 < ours < 1.2 * own
    assert own < 0.05 * logits[2].norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["llama", "qwen3", "lora", "gpt2"])
def test_answers_on_a_gpu_equal_those_of_transformers(name: str) -> None:
    model = made(name).to("cuda")
    try:
        ours = generate(model, WORDS, PROMPTS, n=2, max_new_tokens=40, temperature=0)
        for prompt, group in zip(PROMPTS, ours, strict=True):
            ids = torch.tensor([prompt], device="cuda")
            expected = model.generate(  # type: ignore[operator]
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40
            )[0, len(prompt) :].tolist()
            assert group[0].ids == group[1].ids == expected
    finally:
        model.to("cpu")
