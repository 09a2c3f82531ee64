"""The operations and bytes of one pass through a transformer, from its shape."""

from __future__ import annotations

from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.models.shapes import Shape

FLOAT = 4  # bytes
FORWARD_NUMBERS = (
    6,
    3,
)  # per token, × hidden and × intermediate: what one layer holds without a backward pass


def forward_operations(shape: Shape, tokens: float, *, around: float, projected: float) -> float:
    """Operations of one row of `tokens` that look at half of `around` tokens each; `projected` of them onto
    the vocabulary."""
    inside = max(0, shape.weights - shape.vocabulary * shape.hidden)
    attended = 4 * shape.layers * shape.heads * shape.head_size * tokens * around / 2
    return 2 * inside * tokens + attended + 2 * shape.vocabulary * shape.hidden * projected


def kept_bytes(shape: Shape, places: float, *, row: float) -> float:
    """Bytes of activations that a backward pass needs, and the mask of who looks at whom."""
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * (shape.layers * per_token + 2 * shape.hidden) + places * row


def kept_bytes_recomputed(shape: Shape, places: float, *, row: float) -> float:
    """The same where a backward pass computes each layer again: every layer's input, and one layer whole."""
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * ((shape.layers + 2) * shape.hidden + per_token) + places * row


def passing_bytes(shape: Shape, places: float) -> float:
    """Bytes that a forward pass holds at once without a backward one to come."""
    times_hidden, times_intermediate = FORWARD_NUMBERS
    return FLOAT * places * (times_hidden * shape.hidden + times_intermediate * shape.intermediate)


def adapter_weights(shape: Shape, recipe: RewardModelConfig) -> float:
    """Of a LoRA adapter: rank × (inputs + outputs) for each product. Where the recipe names layers in place
    of all-linear they are taken for the four of attention: at least as many as people name."""
    d, queries = shape.hidden, shape.heads * shape.head_size
    keys = shape.kv_heads * shape.head_size
    attention = 2 * (d + queries) + 2 * (d + keys)
    mlp = (3 if shape.gated else 2) * (d + shape.intermediate)
    both = attention + (mlp if recipe.lora_target_modules.strip() == "all-linear" else 0)
    return recipe.lora_r * shape.layers * both + d
