"""Estimate a run's disk space before the run starts: the saved model and, until the run succeeds, the
checkpoints.

Pure functions without torch, as in `cost`. A checkpoint contains the trained weights and Adam's two moments
for each weight (`checkpoint`). Two checkpoints are kept, and a third is written before the oldest is deleted.
If a run keeps the best weights, each checkpoint contains them as a hard link. Two versions of the best
weights can exist: one in the newest checkpoint and another in the previous checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.rlhf.models.files.shapes import Shape
from training.rlhf.planning.trained import bytes_per_weight, trained_weights
from training.rlhf.planning.transformer import FLOAT, adapter_weights
from training.rlhf.recipes.parts.weights import TrainsPolicy
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.recipes.rollouts import RolloutConfig

CHECKPOINTS_KEPT = 2
# Size of a sampled answer in a checkpoint: bytes per token ID, and bytes per answer for all other columns of
# `selection.candidates.Candidates` together.
TOKEN_BYTES, ANSWER_BYTES = 4, 37
RELU_WIDTH = 16  # the width of each small head in an ensemble (`heads.WIDTH`)


@dataclass(frozen=True)
class Disk:
    """The size of the saved model and the peak size of the checkpoints, in bytes. Checkpoints are deleted
    when the run succeeds."""

    model: float = 0.0
    checkpoints: float = 0.0


def rejection_sampling(recipe: RejectionSamplingConfig, shape: Shape, *, prompts: int) -> Disk:
    """Return the disk space of rejection sampling. A checkpoint contains the policy, Adam's moments, and all
    answers so far with their scores. All answers are assumed to have the maximum length."""
    answers = recipe.rounds * prompts * recipe.samples_per_prompt
    candidates = answers * (TOKEN_BYTES * recipe.max_new_tokens + ANSWER_BYTES)
    one = checkpoint_bytes(recipe, shape) + candidates
    return Disk(model_bytes(recipe, shape), (CHECKPOINTS_KEPT + 1) * one)


def trained_policy(recipe: TrainsPolicy, shape: Shape) -> Disk:
    """Return the disk space of a run that saves a policy and writes checkpoints of its trained weights and
    Adam's moments. Two checkpoints are kept, and a third is written before the oldest is deleted."""
    return Disk(model_bytes(recipe, shape), (CHECKPOINTS_KEPT + 1) * checkpoint_bytes(recipe, shape))


def on_policy(recipe: RolloutConfig, shape: Shape, *, critic: Shape | None = None) -> Disk:
    """Return the disk space of a PPO or RLOO run, as `trained_policy` does for other runs. PPO also trains a
    critic: all weights of a separate model (`critic`), or at most a second adapter if the critic uses the
    policy's trunk. A moving reference adds one copy of the policy's trained weights. A KL ceiling adds
    another copy: the weights that the run returns to if the KL exceeds the ceiling."""
    copies = (recipe.reference != "fixed") + (recipe.kl_ceiling is not None)
    one = checkpoint_bytes(recipe, shape) + copies * weight_bytes(recipe) * trained_weights(recipe, shape)
    if isinstance(recipe, PPOConfig) and recipe.critic_kind != "separate":
        one += checkpoint_bytes(recipe, shape) if recipe.critic_kind == "adapter" else 0.0
    elif critic is not None:
        one += checkpoint_bytes(recipe.model_copy(update={"use_peft": False}), critic)
    return Disk(model_bytes(recipe, shape), (CHECKPOINTS_KEPT + 1) * one)


def model_bytes(recipe: TrainsPolicy, shape: Shape) -> float:
    """Return the size of the saved policy: an adapter, or all weights."""
    saved = trained_weights(recipe, shape) if recipe.use_peft else shape.weights
    return weight_bytes(recipe) * saved


def checkpoint_bytes(recipe: TrainsPolicy, shape: Shape) -> float:
    """Return the total size of the trained weights, their float32 masters (if any) and Adam's moments."""
    masters = FLOAT if weight_bytes(recipe) < FLOAT else 0
    return (weight_bytes(recipe) + masters + 2 * FLOAT) * trained_weights(recipe, shape)


def weight_bytes(recipe: TrainsPolicy) -> int:
    """Return the size of one trained weight. Adapters are always in float32."""
    return FLOAT if recipe.use_peft else bytes_per_weight(recipe)


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
