"""The operations and bytes of a pass through a transformer, computed from its shape.

A forward pass costs 2 operations per weight and token. Attention costs another 4 × `hidden` operations per
token, layer and attended token. A training step costs as much as three forward passes. If the trunk is
frozen, its weights need no gradient, and a step costs only two passes. If activations are recomputed, a step
costs one more pass. If the model is an encoder, each response is processed with its own copy of the prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.rlhf.models.files.shapes import Shape, count_weights
from training.rlhf.recipes.parts.weights import UsesLora

FLOAT, HALF = 4, 2  # bytes per number
# The same values as in `forward.projection`, which can't be imported without torch.
CHUNK_LOGITS, CHUNK_LOGITS_ON_GPU, MIN_CHUNK_TOKENS = 2**24, 2**26, 256
CONVERTED_WEIGHTS = 2**23


@dataclass(frozen=True)
class Pass:
    """How a model processes tokens: the size of its numbers in bytes, and what the backward pass needs.

    If `adapted`, the weights are frozen, and every linear layer has a LoRA adapter in float32. With
    `autocast`, the weights are float32, and matrix products are computed in bfloat16. `keys` is the number of
    key-value pairs that attention stores per token position. It is above 1 on a CPU if several answers share
    a prompt (`keys_per_place`).
    """

    number: int = FLOAT
    adapted: bool = False
    autocast: bool = False
    keys: float = 1.0


def forward_operations(shape: Shape, tokens: float, *, around: float, projected: float) -> float:
    """Return the number of operations in a forward pass over one row of `tokens` tokens.

    Each token attends to `around` / 2 tokens on average. `projected` is the number of tokens that are
    projected onto the vocabulary.
    """
    inside = max(0, shape.weights - shape.vocabulary * shape.hidden)
    attended = 4 * shape.layers * shape.heads * shape.head_size * tokens * around / 2
    return 2 * inside * tokens + attended + 2 * shape.vocabulary * shape.hidden * projected


def keys_per_place(*, prompt: float, answer: float, answers: float, gpu: bool) -> float:
    """Return `Pass.keys` for a prompt with several answers that share it.

    On a CPU, attention is computed segment by segment (`models.segments`). The keys of the prompt are copied
    for each answer, next to the answer's own keys, and the copies are needed in the backward pass. On a GPU,
    one attention call with a mask reads the keys without copying them.
    """
    if gpu:
        return 1.0
    row = prompt + answers * answer
    return (row + answers * (prompt + answer)) / row


def layer_bytes(shape: Shape, how: Pass) -> float:
    """Return the bytes that one layer stores per token position for the backward pass.

    A norm stores its input in float32 and, for the gradient of its weight, the normalised input. The linear
    layers after a norm store their common input. Attention stores queries, keys, values and its output. Keys
    and values are stored for every query head, because grouped heads are repeated before the attention. The
    output layer of the attention stores its own input, which is a copy of the attention's output in another
    memory layout. The MLP stores the gate projection, its activation, the up projection, and the product of
    the last two.

    An adapter on a bfloat16 layer stores its own float32 copy of the layer's input. Under autocast, each
    linear layer stores its own bfloat16 copy of its input.
    """
    d, inner = shape.hidden, shape.intermediate
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    n = HALF if how.autocast else how.number
    copies = how.adapted and how.number == HALF
    # Bytes per number in the inputs of the attention's output layer and of the MLP's last layer.
    last = FLOAT if copies else n
    residual = FLOAT if how.autocast else how.number
    normalised = 0 if how.adapted else residual
    norms = 2 * (FLOAT + normalised) * d
    if not shape.gated:
        norms = 2 * FLOAT * d  # a fused layer norm stores only its input
    products = 5 if shape.gated else 2  # linear layers that read the output of a norm
    inputs = products * (FLOAT if copies else HALF) * d if copies or how.autocast else 2 * n * d
    heads = (FLOAT + normalised) * (queries + keys) if shape.normed_heads else 0
    attention = n * queries * (2 + 2 * how.keys) + last * queries
    return norms + inputs + heads + attention + 3 * n * inner + last * inner


def kept_bytes(shape: Shape, places: float, *, row: float, how: Pass, layers: float | None = None) -> float:
    """Return the memory, in bytes, that a backward pass needs for the activations of the last `layers` layers
    and of the final norm, and for the attention mask."""
    final = (FLOAT + 2 * how.number) * shape.hidden
    return places * ((layers or shape.layers) * layer_bytes(shape, how) + final) + places * row


def kept_bytes_recomputed(
    shape: Shape, places: float, *, row: float, how: Pass, layers: float | None = None
) -> float:
    """Return the memory of the stored activations, in bytes, if gradient checkpointing is used.

    Gradient checkpointing stores the input of every layer, and the activations of only one layer at a time.
    """
    inputs = (layers or shape.layers) * how.number * shape.hidden
    return places * inputs + kept_bytes(shape, places, row=row, how=how, layers=1)


def passing_bytes(shape: Shape, places: float, number: int = FLOAT) -> float:
    """Return the peak memory, in bytes, of a forward pass without a backward pass: the larger of attention
    and MLP.

    Both store the layer's input and the output of the norm. Attention stores queries, keys and values, the
    keys and values of all query heads, and three copies of queries and output in another memory layout. The
    MLP stores its three products.
    """
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    return number * places * (2 * shape.hidden + max(6 * queries + 2 * keys, 3 * shape.intermediate))


def chunk_bytes(shape: Shape, projected: float, *, gpu: bool) -> float:
    """Return the memory, in bytes, of the logits of one chunk of tokens (see `forward.projection`)."""
    logits = CHUNK_LOGITS_ON_GPU if gpu else CHUNK_LOGITS
    chunk = min(projected, max(MIN_CHUNK_TOKENS, logits / shape.vocabulary))
    return FLOAT * shape.vocabulary * chunk


def projection_bytes(
    shape: Shape, projected: float, *, trains: bool, number: int = FLOAT, gpu: bool = False
) -> float:
    """Return the peak memory, in bytes, of the projection of tokens onto the vocabulary: the logits of one
    chunk of tokens and, if the output layer is trained, the gradient of its weights.

    On a CPU, half-precision weights are converted to float32, one block at a time. The gradient of
    half-precision weights is summed in float32 and then rounded. On a GPU, the matrix products use a
    half-precision copy of the logits.
    """
    if projected == 0:
        return 0.0
    matrix = shape.vocabulary * shape.hidden
    half = number == HALF
    logits = chunk_bytes(shape, projected, gpu=gpu)
    logits *= 1 + HALF / FLOAT if half and gpu else 1
    converted = FLOAT * min(CONVERTED_WEIGHTS, matrix) if half and not gpu else 0
    gradient = matrix * (FLOAT + (HALF if half else 0)) if trains else 0
    return logits + max(converted, gradient)


def is_tied(shape: Shape) -> bool:
    """Return whether the output layer is the embedding. The model's number of weights shows whether it has
    one matrix of `vocabulary` × `hidden` weights or two."""
    tied, untied = (count_weights(shape, tied=kind) for kind in (True, False))
    return abs(shape.weights - tied) <= abs(shape.weights - untied)


def without_output_layer(shape: Shape) -> Shape:
    """Return the shape of a reward model or a critic on this model's trunk. The weights of its head, which
    has one output, are not counted."""
    return (
        shape if is_tied(shape) else replace(shape, weights=shape.weights - shape.vocabulary * shape.hidden)
    )


def adapter_weights(shape: Shape, recipe: UsesLora, *, heads: int = 1) -> float:
    """Return the number of weights in a LoRA adapter: rank × (inputs + outputs) for each matrix product, and
    `heads` heads with one output.

    If the recipe lists target layers instead of `all-linear`, the estimate assumes an adapter on the four
    attention products. This assumption usually gives an upper bound.
    """
    d, queries = shape.hidden, shape.heads * shape.head_size
    keys = shape.kv_heads * shape.head_size
    attention = 2 * (d + queries) + 2 * (d + keys)
    mlp = (3 if shape.gated else 2) * (d + shape.intermediate)
    both = attention + (mlp if recipe.lora_target_modules.strip() == "all-linear" else 0)
    return recipe.lora_r * shape.layers * both + heads * d
