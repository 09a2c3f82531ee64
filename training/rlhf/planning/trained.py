"""The memory of a policy in training: its weights, and the optimiser's data for the trained weights.

- The model's weights take 4 bytes each in float32 and 2 in bfloat16.
- Gradients take 4 bytes and Adam's moments 8 bytes per trained weight, in either precision.
- An adapter takes 4 more bytes for each of its own weights. If there is an adapter, only its weights are
  trained.
- If a bfloat16 model's own weights are trained, a float32 master of each takes 4 more bytes (`core.masters`).

If the model is divided among several processes (`planning.sharding`), each process stores a part of the
gradients, of the moments and of the float32 weights. There are then no masters, because the weights
themselves are in float32.

Pure functions without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning import sharding
from training.rlhf.planning.cost import USUAL, Conditions, Part
from training.rlhf.planning.sharding import shards
from training.rlhf.planning.transformer import FLOAT, HALF, Pass, adapter_weights, is_tied
from training.rlhf.recipes.parts.weights import TrainsLayers, TrainsPolicy

# The cost of a forward pass together with its backward pass, as a multiple of the forward pass's cost.
TRAINING, TRAINING_AN_ADAPTER = 3, 2
# Size of the buffer in which the processes sum their gradients: one bucket of float32 numbers
# (`distributed.BUCKET_NUMBERS`).
BUCKET_BYTES = 64_000_000


# On a CPU, a run in bfloat16 uses more memory than its tensors take. The difference was 60 to 300 MB in
# `benchmarks.memory_estimates`, for models of 34 to 88 million parameters. The cause has not been confirmed.
# It may be oneDNN, which computes the products and keeps a compiled kernel for each combination of sizes.
HALF_KERNELS = Part("bfloat16 kernels", 250_000_000)


def bytes_per_weight(recipe: TrainsPolicy) -> int:
    """Return the size of one model weight in bytes, for the recipe's dtype."""
    return HALF if recipe.dtype == "bfloat16" else FLOAT


def trained_layers(recipe: TrainsLayers, shape: Shape) -> float:
    """Return the number of layers through which the backward pass runs."""
    return min(shape.layers, recipe.num_layers_unfrozen or shape.layers)


def trained_weights(recipe: TrainsPolicy, shape: Shape) -> float:
    """Return the number of trained weights of a policy. If only the last layers are trained, the output layer
    is trained, too, unless it is also the embedding."""
    if recipe.use_peft:
        return adapter_weights(shape, recipe, heads=0)
    if recipe.num_layers_unfrozen is None:
        return shape.weights
    embedding = 0 if is_tied(shape) else shape.vocabulary * shape.hidden
    return last_layers(recipe, shape) + embedding


def last_layers(recipe: TrainsLayers, shape: Shape) -> float:
    """Return the number of weights in the trained layers, without embedding and output layer."""
    embeddings = shape.vocabulary * shape.hidden * (1 if is_tied(shape) else 2)
    return max(0, shape.weights - embeddings) * trained_layers(recipe, shape) / shape.layers


def trains_vocabulary(recipe: TrainsPolicy, shape: Shape) -> tuple[bool, bool]:
    """Return two values: whether the output layer is trained, and whether the embedding is trained."""
    if recipe.use_peft:
        return False, False
    if recipe.num_layers_unfrozen is None:
        return True, True
    return not is_tied(shape), False


def frozen(recipe: TrainsPolicy, name: str, shape: Shape) -> Part:
    """Return the memory of a frozen model in the recipe's precision."""
    return Part(f"weights: {name}", bytes_per_weight(recipe) * shape.weights)


def loaded(recipe: TrainsPolicy, shape: Shape, given: Conditions = USUAL) -> tuple[Part, ...]:
    """Return the memory that a policy takes before the first update: weights, and an adapter or masters."""
    learning = trained_weights(recipe, shape)
    if (processes := shards(recipe, given)) > 1:
        parts = [sharding.weights("policy", shape, processes=processes)]
    else:
        parts = [frozen(recipe, "policy", shape)]
        if recipe.use_peft:
            parts.append(Part("weights: adapter", FLOAT * learning))
        elif recipe.dtype == "bfloat16":
            parts.append(Part("weights: float32 masters", FLOAT * learning))
    if recipe.dtype == "bfloat16" and not given.gpu:
        parts.append(HALF_KERNELS)
    return tuple(parts)


def in_training(recipe: TrainsPolicy, shape: Shape, given: Conditions = USUAL) -> tuple[Part, ...]:
    """Return the memory that a policy takes between two updates: the weights (see `loaded`) and Adam's
    moments."""
    learning, divided = trained_weights(recipe, shape), shards(recipe, given)
    parts = (*loaded(recipe, shape, given), Part("Adam's moments", 2 * FLOAT * learning / divided))
    return parts if given.processes == divided else (*parts, exchanged(learning))


def gathered_weights(recipe: TrainsPolicy, shape: Shape, given: Conditions) -> tuple[Part, ...]:
    """Return the memory of the weights that each process gathers for a forward pass without a backward pass,
    if the model is sharded."""
    if shards(recipe, given) == 1:
        return ()
    return (sharding.gathered(shape, number=bytes_per_weight(recipe)),)


def complete_weights(recipe: TrainsPolicy, shape: Shape, given: Conditions) -> tuple[Part, ...]:
    """Return the memory of the complete copy that each process needs to generate answers, if the model is
    sharded."""
    return () if shards(recipe, given) == 1 else (sharding.complete(shape, number=bytes_per_weight(recipe)),)


def whole_bytes(recipe: TrainsPolicy, shape: Shape, given: Conditions) -> float:
    """Return the size of a policy that is read completely before it is sharded, or 0 if it is not sharded."""
    return 0.0 if shards(recipe, given) == 1 else bytes_per_weight(recipe) * shape.weights


def exchanged(learning: float) -> Part:
    """Return the memory that each of several processes uses while their gradients are summed, one bucket at a
    time. Sharded gradients are summed in the backward pass."""
    return Part("exchanged gradients", min(BUCKET_BYTES, FLOAT * learning))


def pass_of(recipe: TrainsPolicy, *, keys: float = 1.0) -> Pass:
    """Return how the recipe's policy processes tokens in training."""
    return Pass(bytes_per_weight(recipe), adapted=recipe.use_peft, keys=keys)


def passes(recipe: TrainsPolicy) -> int:
    """Return the cost of a training step as a multiple of the cost of a forward pass."""
    return (TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING) + recipe.gradient_checkpointing


def saved_bytes(recipe: TrainsPolicy, shape: Shape) -> float:
    """Return the size of a checkpoint's tensors: the trained weights, masters and moments."""
    size = FLOAT if recipe.use_peft else bytes_per_weight(recipe)
    masters = FLOAT if size < FLOAT else 0
    return (size + masters + 2 * FLOAT) * trained_weights(recipe, shape)


@dataclass(frozen=True)
class Critic:
    """A critic, described by the shape of its trunk and the number of its trained weights. If all weights are
    trained, the critic has its `own` trunk. If `reads_policy`, the critic is a head on the policy's states
    and needs no forward passes. Otherwise, the critic is an adapter on the policy's trunk."""

    shape: Shape
    learning: float
    reads_policy: bool = False

    @property
    def own(self) -> bool:
        return self.learning == self.shape.weights


def critic_in_training(recipe: TrainsPolicy, critic: Critic, given: Conditions = USUAL) -> list[Part]:
    """Return the memory that a critic takes between two updates."""
    divided = shards(recipe, given)
    parts = [Part("Adam's moments: critic", 2 * FLOAT * critic.learning / divided)]
    if not critic.own:
        return [*parts, Part("weights: critic", FLOAT * critic.learning)]
    if divided > 1:
        return [*parts, sharding.weights("critic", critic.shape, processes=divided)]
    if recipe.dtype == "bfloat16":
        parts.append(Part("weights: float32 masters of the critic", FLOAT * critic.learning))
    return [*parts, frozen(recipe, "critic", critic.shape)]
