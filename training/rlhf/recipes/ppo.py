"""The recipe for PPO."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.rollouts import RolloutConfig


class PPOConfig(RolloutConfig):
    """Improve a policy by proximal policy optimisation against a reward model."""

    value_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the critic. If empty, the rate depends on the model's size:"
        " from 5e-4 at 2M parameters to "
        "5e-6 at 1B.",
    )
    critic_warmup_steps: int = Field(
        1, ge=0, le=100_000, description="Number of initial steps that train only the critic."
    )
    gamma: float = Field(1.0, ge=0, le=1, description="Discount factor per token (γ in GAE).")
    gae_lambda: float = Field(
        0.95,
        ge=0,
        le=1,
        description="λ in GAE. 1 uses the sampled returns; lower values rely more on the critic.",
    )
    value_clip: float = Field(
        0.2, gt=0, description="Maximum change in a predicted value during the updates in one step."
    )
