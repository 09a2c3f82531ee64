"""The memory of a sharded model in one of several processes (`core.sharding`).

With n processes, each stores 1/n of the float32 weights, gradients and Adam moments, which together take 16
bytes per weight. In a pass, each process also stores the weights that are currently gathered and, in a
backward pass, their gradients before the exchange:

- the weights outside the layers (embedding and output layer), during the entire pass;
- the weights of two layers, because the next layer is gathered while the current one is computed;
- the gradients of one layer with a float32 copy for the exchange and, at the end of the backward pass, those
  of the weights outside the layers.

While answers are generated, and while a reward model computes its final scores, each process stores a
complete copy of the weights instead of gathered weights. Pure functions without torch.
"""

from __future__ import annotations

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import Conditions, Part
from training.rlhf.planning.transformer import FLOAT
from training.rlhf.recipes.parts.base import Recipe

LAYERS_GATHERED = 2


def shards(recipe: Recipe, given: Conditions) -> int:
    """Return the number of processes among which the model is divided, or 1 if each process stores the
    complete model."""
    return given.processes if getattr(recipe, "sharding", "none") == "full" else 1


def weights(name: str, shape: Shape, *, processes: int, number: int = FLOAT) -> Part:
    """Return the memory of a process's part of a model. `number` is the size of one weight, in bytes: 4 for
    trained weights, and the size of the run's data type for frozen weights."""
    return Part(f"weights: part of the {name}", number * shape.weights / processes)


def gathered(shape: Shape, *, number: int) -> Part:
    """Return the memory of the weights that a process gathers in a pass. `number` is the size of one weight
    during the pass, in bytes."""
    held = outside_weights(shape) + LAYERS_GATHERED * layer_weights(shape)
    return Part("gathered weights", number * held)


def exchanged(weights: float, *, number: int) -> float:
    """Return the size of the complete gradients of this number of weights, with the float32 copy for the
    exchange."""
    return (number + FLOAT) * weights


def complete(shape: Shape, *, number: int) -> Part:
    """Return the memory of the complete copy of a model that each process needs to generate answers."""
    return Part("complete weights", number * shape.weights)


def layer_weights(shape: Shape) -> int:
    """Return the number of weights in a layer's matrices."""
    queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    mlp = (3 if shape.gated else 2) * shape.intermediate
    return shape.hidden * (2 * queries + 2 * keys + mlp)


def outside_weights(shape: Shape) -> int:
    """Return the number of weights outside the layers. The result is at least the number of weights in one
    embedding."""
    return max(shape.vocabulary * shape.hidden, shape.weights - shape.layers * layer_weights(shape))
