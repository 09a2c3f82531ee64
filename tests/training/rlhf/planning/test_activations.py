"""The estimated size of a layer's activations equals the number of bytes that autograd stores for the
backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from tests.training.rlhf import tiny
from training.rlhf.data.answers import Row, lay_out_rows, shared_layout
from training.rlhf.models.files.shapes import shape_of
from training.rlhf.models.forward.inputs import Inputs
from training.rlhf.models.forward.logprobs import token_log_probs
from training.rlhf.models.parts.lora import add_lora
from training.rlhf.planning.transformer import HALF, Pass, keys_per_place, layer_bytes
from training.rlhf.recipes.sft import SFTConfig

PROMPTS, ANSWERS, PROMPT, ANSWER = 4, 2, 24, 16
FEW_LAYERS, MANY_LAYERS = 2, 4
WIDE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
}
MODELS: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaForCausalLM, LlamaConfig),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config),
}


def stored_bytes(model: Any, inputs: Inputs) -> int:
    """The total size, in bytes, of the storages that the backward pass needs in addition to the
    parameters."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found: dict[int, int] = {}
    kept = []  # keeps all storages alive, because the address of a freed storage could be used again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        token_log_probs(model, inputs, temperature=1.0)
    return sum(found.values())


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", list(MODELS))
def test_estimated_bytes_of_a_layer_equal_the_bytes_that_autograd_stores(
    kind: str, dtype: torch.dtype, adapted: bool
) -> None:
    stored = []
    for layers in (FEW_LAYERS, MANY_LAYERS):
        make, settings = MODELS[kind]
        model = make(settings(**tiny.COMMON, **WIDE, num_hidden_layers=layers)).to(dtype).eval()
        config = model.config.to_dict()
        if adapted:
            model = add_lora(model, SFTConfig(use_peft=True, lora_r=1), base="base")
        rows = [Row([5 + number] * PROMPT, [9] * ANSWER) for number in range(PROMPTS) for _ in range(ANSWERS)]
        layout = shared_layout(model)
        assert layout == "flat"
        inputs = lay_out_rows(rows, layout=layout, pad_id=0, device=torch.device("cpu")).inputs
        token_log_probs(model, inputs, temperature=1.0)  # the first call also tests how logits are computed
        stored.append(stored_bytes(model, inputs))
    per_layer = (stored[1] - stored[0]) / (MANY_LAYERS - FEW_LAYERS) / inputs.places
    keys = keys_per_place(prompt=PROMPT, answer=ANSWER, answers=ANSWERS, gpu=False)
    how = Pass(HALF if dtype == torch.bfloat16 else 4, adapted=adapted, keys=keys)
    # The tolerance covers sums of attention weights, scales of norms and the inner states of an adapter.
    assert layer_bytes(shape_of(config), how) == pytest.approx(per_layer, rel=0.02)
