"""What a run will take on the disk, before it is launched: the model that it leaves and, while it is under
way, its checkpoints. Pure functions, as in `cost`; torch is not needed.

A checkpoint has the weights that learn and Adam's two moments of each (`checkpoint`); two are kept, and a
third is written before the oldest goes. The best weights are a hard link in each, and there may be two of
them: those of the newest checkpoint, and those that the one before still has.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.core.recipes import RewardModelConfig
from training.rlhf.models.shapes import Shape
from training.rlhf.planning.cost import FLOAT, adapter_weights

CHECKPOINTS_KEPT = 2
RELU_WIDTH = 16  # of a small head (`heads.WIDTH`)


@dataclass(frozen=True)
class Disk:
    """Bytes: of what the run leaves, and of checkpoints at most, which go when it has ended."""

    model: float = 0.0
    checkpoints: float = 0.0


def policy(shape: Shape) -> Disk:
    """Of a loop that saves a policy and writes no checkpoints."""
    return Disk(FLOAT * shape.weights)


def reward_model(recipe: RewardModelConfig, shape: Shape) -> Disk:
    adapter = adapter_weights(shape, recipe)
    learning = adapter if recipe.use_peft else shape.weights
    of_members = recipe.members * adapter if recipe.uncertainty == "lora" else 0.0
    beside = {
        "none": 0.0,
        "laplace": shape.hidden**2,
        "heads": recipe.members * (shape.hidden + 2) * (RELU_WIDTH + 1),
        "lora": of_members,
    }
    one, best = 3 * learning, 2 * learning if recipe.keep == "best" else 0
    # Members come after the model, whose own checkpoints stay; each member's, too.
    written = one if not of_members else max(one, CHECKPOINTS_KEPT * 3 * of_members + 3 * adapter)
    return Disk(
        FLOAT * (learning + beside[recipe.uncertainty]),
        FLOAT * (CHECKPOINTS_KEPT * one + best + written),
    )
