"""A small model and a small run. The tests estimate the memory and the time of the run."""

from __future__ import annotations

from training.rlhf.models.files import shapes
from training.rlhf.planning.cost import Data

WIDE = {"vocab_size": 8000, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4}
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 4}
PROMPT, RESPONSE = 60, 40


def shape() -> shapes.Shape:
    return shapes.shape_of({**WIDE, **HEADS, "max_position_embeddings": 512, "model_type": "llama"})


def data(items: int) -> Data:
    return Data(items, PROMPT, RESPONSE, PROMPT + RESPONSE + 1, responses=4)
