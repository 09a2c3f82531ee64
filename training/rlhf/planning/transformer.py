"""The operations and bytes of a pass through a transformer, computed from its shape.

A forward pass costs 2 operations per weight and token. Attention costs another 4 × `hidden` operations per
token, layer and attended token. A training step costs as much as three forward passes. If the trunk is
frozen, its weights need no gradient, and a step costs only two passes. If activations are recomputed, a step
costs one more pass. If the model is an encoder, each response is processed with its own copy of the prompt.
"""

from __future__ import annotations

from training.rlhf.models.files.shapes import Shape
from training.rlhf.recipes.weights import UsesLora

FLOAT = 4  # bytes
# As in `forward.projection`, which can't be imported without torch.
CHUNK_LOGITS, MIN_CHUNK_TOKENS = 2**24, 256
# Numbers that a layer stores per token without a backward pass, as multiples of `hidden` and `intermediate`.
FORWARD_NUMBERS = (6, 3)


def forward_operations(shape: Shape, tokens: float, *, around: float, projected: float) -> float:
    """The number of operations in a forward pass over one row of `tokens` tokens.

    Each token attends to `around` / 2 tokens on average. `projected` is the number of tokens that are
    projected onto the vocabulary.
    """
    inside = max(0, shape.weights - shape.vocabulary * shape.hidden)
    attended = 4 * shape.layers * shape.heads * shape.head_size * tokens * around / 2
    return 2 * inside * tokens + attended + 2 * shape.vocabulary * shape.hidden * projected


def kept_bytes(shape: Shape, places: float, *, row: float) -> float:
    """Memory, in bytes, of the activations that a backward pass needs and of the attention mask.

    For each token, a layer stores 11 × `hidden` and 4 × `intermediate` numbers. The first term counts the
    norms, queries, keys, values, two residuals, and the attention output and its copy. The second term counts
    the MLP's three products and its nonlinearity.
    """
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * (shape.layers * per_token + 2 * shape.hidden) + places * row


def kept_bytes_recomputed(shape: Shape, places: float, *, row: float) -> float:
    """Memory of the stored activations, in bytes, if gradient checkpointing is used.

    Gradient checkpointing stores the input of every layer, and the activations of only one layer at a time.
    """
    per_token = 11 * shape.hidden + 4 * shape.intermediate
    return FLOAT * places * ((shape.layers + 2) * shape.hidden + per_token) + places * row


def passing_bytes(shape: Shape, places: float) -> float:
    """Peak memory, in bytes, of a forward pass without a backward pass."""
    times_hidden, times_intermediate = FORWARD_NUMBERS
    return FLOAT * places * (times_hidden * shape.hidden + times_intermediate * shape.intermediate)


def projection_bytes(shape: Shape, projected: float, *, trains: bool) -> float:
    """Peak memory, in bytes, of the projection of tokens onto the vocabulary (`forward.projection`): the
    logits of one chunk of tokens and, in training, the gradient of the output embedding before it is added to
    that of the micro-batches before."""
    chunk = min(projected, max(MIN_CHUNK_TOKENS, CHUNK_LOGITS / shape.vocabulary))
    return FLOAT * shape.vocabulary * (chunk + (shape.hidden if trains else 0))


def adapter_weights(shape: Shape, recipe: UsesLora, *, heads: int = 1) -> float:
    """The number of weights in a LoRA adapter: rank × (inputs + outputs) for each matrix product, and `heads`
    heads with one output.

    If the recipe lists target layers instead of `all-linear`, the estimate assumes an adapter on the four
    attention products. This assumption usually gives an upper bound.
    """
    d, queries = shape.hidden, shape.heads * shape.head_size
    keys = shape.kv_heads * shape.head_size
    attention = 2 * (d + queries) + 2 * (d + keys)
    mlp = (3 if shape.gated else 2) * (d + shape.intermediate)
    both = attention + (mlp if recipe.lora_target_modules.strip() == "all-linear" else 0)
    return recipe.lora_r * shape.layers * both + heads * d
