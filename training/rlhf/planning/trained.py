"""The memory of a policy in training: its weights, and what the optimiser keeps for the trained ones.

- The model's weights take 4 bytes each in float32 and 2 in bfloat16.
- Gradients take 4 bytes and Adam's moments 8 bytes per trained weight, in either precision.
- An adapter takes 4 more bytes for each of its own weights. Only these weights are trained.
- If a bfloat16 model's own weights are trained, a float32 master of each takes 4 more bytes (`core.masters`).

Pure functions without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.cost import Part
from training.rlhf.planning.transformer import FLOAT, adapter_weights, kept_bytes, kept_bytes_recomputed
from training.rlhf.recipes.weights import TrainsPolicy

# The cost of a forward and a backward pass, as a multiple of the cost of a forward pass.
TRAINING, TRAINING_AN_ADAPTER = 3, 2


def bytes_per_weight(recipe: TrainsPolicy) -> int:
    """Return the size of a number in the recipe's models."""
    return FLOAT // 2 if recipe.dtype == "bfloat16" else FLOAT


def trained_weights(recipe: TrainsPolicy, shape: Shape) -> float:
    """Return the number of trained weights of a policy."""
    if recipe.use_peft:
        return adapter_weights(shape, recipe, heads=0)
    if recipe.num_layers_unfrozen is None:
        return shape.weights
    embedding = shape.vocabulary * shape.hidden
    share = min(1.0, recipe.num_layers_unfrozen / shape.layers)
    # The output layer is also trained if it is not the embedding. The estimate assumes that it is.
    return min(shape.weights, share * max(0, shape.weights - embedding) + embedding)


def frozen(recipe: TrainsPolicy, name: str, shape: Shape) -> Part:
    """Return the memory of a frozen model, which has the recipe's precision."""
    return Part(f"weights: {name}", bytes_per_weight(recipe) * shape.weights)


def loaded(recipe: TrainsPolicy, shape: Shape) -> tuple[Part, ...]:
    """Return the memory that a policy takes before the first update: weights, and an adapter or masters."""
    learning = trained_weights(recipe, shape)
    parts = [frozen(recipe, "policy", shape)]
    if recipe.use_peft:
        parts.append(Part("weights: adapter", FLOAT * learning))
    elif recipe.dtype == "bfloat16":
        parts.append(Part("weights: float32 masters", FLOAT * learning))
    return tuple(parts)


def in_training(recipe: TrainsPolicy, shape: Shape) -> tuple[Part, ...]:
    """Return the memory that a policy takes between two updates: its weights as in `loaded`, and moments."""
    return *loaded(recipe, shape), Part("Adam's moments", 2 * FLOAT * trained_weights(recipe, shape))


def gradients(recipe: TrainsPolicy, shape: Shape) -> Part:
    return Part("gradients", FLOAT * trained_weights(recipe, shape))


def activations(recipe: TrainsPolicy, shape: Shape, places: float, *, row: float) -> float:
    """Return the memory of the activations that a backward pass needs, in bytes."""
    kept = kept_bytes_recomputed if recipe.gradient_checkpointing else kept_bytes
    return kept(shape, places, row=row) * bytes_per_weight(recipe) / FLOAT


def passes(recipe: TrainsPolicy) -> int:
    """Return the cost of a training step as a multiple of the cost of a forward pass."""
    return (TRAINING_AN_ADAPTER if recipe.use_peft else TRAINING) + recipe.gradient_checkpointing


@dataclass(frozen=True)
class Critic:
    """A critic with the shape of its trunk and the number of its trained weights. If all weights are trained,
    the trunk is its `own`. If it `reads_policy`, it is a head on the policy's states, which needs no forward
    passes. Otherwise, it is an adapter on the policy's trunk."""

    shape: Shape
    learning: float
    reads_policy: bool = False

    @property
    def own(self) -> bool:
        return self.learning == self.shape.weights


def critic_in_training(recipe: TrainsPolicy, critic: Critic) -> list[Part]:
    """Return the memory that a critic takes between two updates."""
    parts = [Part("Adam's moments: critic", 2 * FLOAT * critic.learning)]
    if not critic.own:
        return [*parts, Part("weights: critic", FLOAT * critic.learning)]
    if recipe.dtype == "bfloat16":
        parts.append(Part("weights: float32 masters of the critic", FLOAT * critic.learning))
    return [*parts, frozen(recipe, "critic", critic.shape)]
