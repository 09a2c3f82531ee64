"""The memory of a forward and a backward pass in training: gradients, activations and logits.

The backward pass computes the gradients layer by layer and frees the activations, so the peak is at one of
three moments. At the start of the backward pass, all activations are in memory, with the logits and the
gradient of the output layer. In the last layer, the gradients of two products of the MLP are in memory in
addition to the activations. At the end of the backward pass, all gradients are in memory, together with the
embedding's new gradient, which has not been added to them yet. If a step has several micro-batches, all
gradients are already in memory at the start of every pass but the first. For a sharded model, complete
gradients exist for only one layer at a time (`planning.sharding`).

Pure functions without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import USUAL, Conditions, Part
from training.rlhf.planning.sharding import exchanged, gathered, layer_weights, outside_weights
from training.rlhf.planning.transformer import (
    FLOAT,
    HALF,
    Pass,
    is_tied,
    kept_bytes,
    kept_bytes_recomputed,
    layer_bytes,
    projection_bytes,
)

# On a CPU, the C library's allocator reuses only some of the freed blocks, because blocks that are still
# needed lie between them. `benchmarks.memory_estimates` measured the growth of resident memory: 1.2 to 1.9
# times the stored activations if all weights are trained, and 1.7 to 2.4 times for adapters, whose layers
# allocate about four times as many blocks. If large blocks are returned to the system instead
# (MALLOC_MMAP_THRESHOLD_=1048576), the heap is not fragmented, but training an adapter takes 1.4 to 1.6 times
# as long. On a GPU, torch uses its own allocator.
HEAP_GAPS, HEAP_GAPS_OF_ADAPTERS = 1.3, 2.0


@dataclass(frozen=True)
class Backward:
    """One micro-batch of `places` token positions, in rows of `row` tokens. `projected` is the number of
    tokens that are projected onto the vocabulary, or 0 for a model whose head has one output.

    `learning` is the number of weights that get gradients, and `layers` is the number of layers through which
    the backward pass runs. `head` and `embedding` state whether the output layer and the embedding are
    trained. `shards` is the number of processes that divide the model among them.
    """

    shape: Shape
    how: Pass
    learning: float
    places: float
    row: float
    projected: float = 0.0
    layers: float | None = None
    head: bool = True
    embedding: bool = True
    recompute: bool = False
    shards: int = 1

    @property
    def gradients(self) -> float:
        """The size of the gradients that a process stores, in bytes."""
        return gradient_bytes(self.learning, self.shards)


def backward(step: Backward, *, before: float, given: Conditions = USUAL) -> tuple[Part, ...]:
    """Return the memory of a micro-batch at its peak. `before` is the size, in bytes, of the gradients that
    are already in memory when the micro-batch's forward pass begins."""
    moments = (
        _projecting(step, before, given),
        _in_last_layer(step, before, given),
        _in_embedding(step, before, given),
    )
    largest = max(moments, key=lambda parts: sum(part.bytes for part in parts))
    if step.shards == 1:
        return largest
    return (*largest, gathered(step.shape, number=step.how.number))


def gradient_bytes(learning: float, shards: int = 1) -> float:
    return FLOAT * learning / shards


def _projecting(step: Backward, before: float, given: Conditions) -> tuple[Part, ...]:
    """Return the memory at the start of the backward pass: activations, logits and the output layer's
    gradient."""
    logits = projection_bytes(
        step.shape, step.projected, trains=step.head, number=step.how.number, gpu=given.gpu
    )
    waiting = _stored(step, given) - (_one_layer(step) if step.recompute else 0.0)
    return Part("gradients", before), Part("activations", waiting), Part("logits", logits)


def _in_last_layer(step: Backward, before: float, given: Conditions) -> tuple[Part, ...]:
    """Return the memory during the last layer's backward pass, in which the gradients of two products of its
    MLP exist at the same time."""
    number = HALF if step.how.autocast else step.how.number
    of_mlp = 2 * number * step.places * step.shape.intermediate
    apart = before == 0 or is_tied(step.shape) or step.shards > 1
    new = step.head and step.projected and apart
    waiting = number * step.shape.vocabulary * step.shape.hidden if new else 0.0
    if step.shards > 1:
        waiting += exchanged(layer_weights(step.shape), number=step.how.number)
    return Part("gradients", before + waiting), Part("activations", _stored(step, given) + of_mlp)


def _in_embedding(step: Backward, before: float, given: Conditions) -> tuple[Part, ...]:
    """Return the memory at the end of the backward pass, together with the embedding's new gradient, which
    has not been added to the others yet. If the output layer is the embedding, the output layer's gradient is
    still in memory, too. Half-precision gradients are converted to float32 first."""
    mine, number = step.gradients, step.how.number
    if not step.embedding:
        return Part("gradients", max(before, mine)), Part("activations", _one_layer(step))
    matrix = step.shape.vocabulary * step.shape.hidden
    waits = 2 if step.projected and is_tied(step.shape) else 1
    later = float(matrix) * max(waits * number, number + FLOAT if number == HALF else 0)
    if step.shards > 1:
        later = max(later, exchanged(outside_weights(step.shape), number=number))
    others = max(before, mine - FLOAT * matrix / step.shards)
    return Part("gradients", others + later), Part("activations", _one_layer(step))


def _stored(step: Backward, given: Conditions) -> float:
    kept = kept_bytes_recomputed if step.recompute else kept_bytes
    gaps = HEAP_GAPS_OF_ADAPTERS if step.how.adapted else HEAP_GAPS
    return (1.0 if given.gpu else gaps) * kept(
        step.shape, step.places, row=step.row, how=step.how, layers=step.layers
    )


def _one_layer(step: Backward) -> float:
    return step.places * layer_bytes(step.shape, step.how)
