"""The memory of a sharded model in one of several processes (`core.sharding`).

Each process stores 1/n of the float32 weights, gradients and Adam moments, 16 bytes per weight in all. In
addition, it holds the weights that are gathered at the moment, and their gradients before the exchange:

- the weights outside the layers (embedding and output layer), from the forward pass to the end of the
  backward pass;
- the weights of two layers, because the next layer is gathered while the present one computes;
- the gradients of the weights outside the layers and of one layer, and a float32 copy of the latter for the
  exchange.

While answers are generated, and for the final scores of a reward model, each process holds a complete copy of
the weights instead. Pure functions without torch.
"""

from __future__ import annotations

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import Part
from training.rlhf.planning.transformer import FLOAT

LAYERS_GATHERED = 2


def stored(shape: Shape, *, processes: int) -> tuple[Part, ...]:
    """Return what each process stores between two updates."""
    part = FLOAT * shape.weights / processes
    return (Part("weights: part of the model", part), Part("Adam's moments: part", 2 * part))


def updating(shape: Shape, *, processes: int, number: int) -> tuple[Part, ...]:
    """Return what each process holds in an update, without activations and logits. `number` is the size of a
    number in the model's computations, in bytes."""
    layer, outside = layer_weights(shape), outside_weights(shape)
    return (
        *stored(shape, processes=processes),
        Part("gradients: part", FLOAT * shape.weights / processes),
        Part("gathered weights", number * (outside + LAYERS_GATHERED * layer)),
        Part("gradients before the exchange", number * (outside + layer) + FLOAT * layer),
    )


def generating(shape: Shape, *, processes: int, number: int) -> tuple[Part, ...]:
    """Return what each process holds while it generates answers, without keys and values."""
    return (*stored(shape, processes=processes), Part("complete weights", number * shape.weights))


def layer_weights(shape: Shape) -> int:
    """Return the number of weights of a layer's matrices."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    mlp = (3 if shape.gated else 2) * shape.intermediate
    return shape.hidden * (2 * queries + 2 * keys + mlp)


def outside_weights(shape: Shape) -> int:
    """Return the number of weights outside the layers, at least those of one embedding."""
    return max(shape.vocabulary * shape.hidden, shape.weights - shape.layers * layer_weights(shape))
