"""Estimate a run's disk space before the run starts: the saved model and, until the run ends, the
checkpoints.

Pure functions without torch, as in `cost`. A checkpoint contains the trained weights and Adam's two moments
for each weight (`checkpoint`). Two checkpoints are kept, and a third is written before the oldest is deleted.
Each checkpoint contains the best weights as a hard link. Two versions of the best weights can exist: one in
the newest checkpoint and another in the previous checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.shapes import Shape
from training.rlhf.planning.transformer import FLOAT, adapter_weights
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rollouts import RolloutConfig

CHECKPOINTS_KEPT = 2
RELU_WIDTH = 16  # the width of an ensemble's small head (`heads.WIDTH`)


@dataclass(frozen=True)
class Disk:
    """The size of the saved model and the peak size of the checkpoints, in bytes. Checkpoints are deleted
    when the run ends."""

    model: float = 0.0
    checkpoints: float = 0.0


def policy(shape: Shape) -> Disk:
    """The disk space of a run that saves a policy and writes no checkpoints."""
    return Disk(FLOAT * shape.weights)


def on_policy(recipe: RolloutConfig, shape: Shape, *, critic: Shape | None = None) -> Disk:
    """The disk space of a PPO or RLOO run. Its checkpoints also contain a moving reference and the newest
    weights within `kl_ceiling`."""
    copies = (recipe.reference != "fixed") + (recipe.kl_ceiling is not None)
    one = 3 * (shape.weights + (critic.weights if critic else 0)) + copies * shape.weights
    return Disk(FLOAT * shape.weights, FLOAT * (CHECKPOINTS_KEPT + 1) * one)


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
    # Ensemble members are trained after the model. The checkpoints of the model and of the ensemble members
    # are all kept until the run ends.
    written = one if not of_members else max(one, CHECKPOINTS_KEPT * 3 * of_members + 3 * adapter)
    return Disk(
        FLOAT * (learning + beside[recipe.uncertainty]),
        FLOAT * (CHECKPOINTS_KEPT * one + best + written),
    )
