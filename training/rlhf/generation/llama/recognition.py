"""Recognise models of the Llama family: Llama, Qwen2, Qwen3, and Mistral without a sliding window.

`trunk_of_family` returns None for every model that differs in structure from these architectures. Once per
model, the function also compares the trunk's logits with those of the model's own forward pass.
"""

from __future__ import annotations

import logging
import sys
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from training.rlhf.generation.llama.rows import LlamaBatch
from training.rlhf.generation.llama.trunk import Trunk, is_altered
from training.rlhf.models.parts.products import is_linear
from training.rlhf.models.parts.trunks import has_adapters, plain, vocabulary_rows

log = logging.getLogger(__name__)

# The names of the family's architectures in transformers, and the prefixes of their class names.
FAMILY = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
# The norms of a layer. `Trunk` reads the norms' weights.
NORMS = ("input_layernorm", "post_attention_layernorm", "q_norm", "k_norm")
# Rotary embeddings whose frequencies depend on the length of the text.
LENGTH_DEPENDENT = ("dynamic", "longrope")
# Largest difference from the model's own logits, relative to the largest logit.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.05}

_agreed: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


@torch.inference_mode()
def trunk_of_family(policy: PreTrainedModel) -> Trunk | None:
    """Return the model's trunk for `LlamaBatch`, or None if the model does not exactly belong to the
    family."""
    model: Any = plain(policy)
    if not _is_family(policy, model):
        return None
    trunk = Trunk(model)
    if policy not in _agreed:
        _agreed[policy] = agrees = _agrees(trunk, policy)
        if not agrees:
            log.warning(
                "%s is decoded with its own forward pass, because the fast path computes different logits",
                type(model),
            )
    return trunk if _agreed[policy] else None


def _is_family(policy: Any, model: Any) -> bool:
    architecture, prefix = next(
        (names for names in FAMILY.items() if type(model) is _class(*names)), (None, None)
    )
    if prefix is None or (has_adapters(policy) and type(policy.base_model).__name__ != "LoraModel"):
        return False
    config = model.config
    layers = model.model.layers
    expected = {"": "Model", "rotary_emb": "RotaryEmbedding", "norm": "RMSNorm"}
    expected |= {"layers.0": "DecoderLayer", "layers.0.self_attn": "Attention", "layers.0.mlp": "MLP"}
    names = {name: type(model.model.get_submodule(name)).__name__ for name in expected}
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    # An adapter can have a different precision, because its layers convert their inputs and outputs.
    types = {
        parameter.dtype
        for name, parameter in layers.named_parameters()
        if parameter.is_floating_point() and ".lora_" not in name
    }
    devices = {parameter.device for parameter in model.parameters()}
    return (
        names == {name: prefix + suffix for name, suffix in expected.items()}
        and all(type(module).__name__ == prefix + "RMSNorm" for module in _norms(layers))
        # `Trunk` reads the embedding's weight, and calls the output layer.
        and type(model.model.embed_tokens) is nn.Embedding
        and is_linear(_without_adapter(model.lm_head))
        and not any(is_altered(module) for module in model.modules())
        and set(kinds) == {"full_attention"}
        and (architecture != "mistral" or config.sliding_window is None)
        and config.rope_parameters["rope_type"] not in LENGTH_DEPENDENT
        and config.hidden_act == "silu"
        and model.model.embed_tokens.weight.dtype in TOLERANCE
        and len(devices) == 1
        and len(types) == 1
    )


def _norms(layers: nn.Module) -> list[nn.Module]:
    return [module for name, module in layers.named_modules() if name.endswith(NORMS)]


def _without_adapter(module: Any) -> nn.Module:
    """Return the layer to which LoRA was added, or the module itself."""
    layer: nn.Module = module.base_layer if hasattr(module, "lora_A") else module
    return layer


def _class(architecture: str, prefix: str) -> Any:
    module = sys.modules.get(f"transformers.models.{architecture}.modeling_{architecture}")
    return getattr(module, f"{prefix}ForCausalLM", None)


def _agrees(trunk: Trunk, policy: Any) -> bool:
    """Return whether the trunk's logits equal the model's own up to rounding, for two prompts of different
    lengths, each continued by two tokens."""
    ids = [number % vocabulary_rows(policy) for number in (3, 7, 11, 5, 2, 9, 13, 4)]
    prompts, tokens = [ids[:6], ids[3:6]], torch.tensor(ids[6:], device=trunk.device)
    agrees = True
    for n in (1, 2):
        batch = LlamaBatch(trunk, prompts, n=n, limit=len(tokens))
        found = [batch.read(lambda: None)]
        found += [batch.step(token.expand(2 * n)) for token in tokens]
        for row, prompt in enumerate(prompts):
            whole = torch.tensor([*prompt, *ids[6:]], device=trunk.device)[None]
            expected = policy(whole, use_cache=False).logits[0, len(prompt) - 1 :]
            ours = torch.stack([logits[row * n] for logits in found])
            difference = (ours - expected).abs().max() / expected.abs().max()
            agrees = agrees and bool(difference <= TOLERANCE[trunk.dtype])
    return agrees
