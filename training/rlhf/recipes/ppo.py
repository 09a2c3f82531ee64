"""The recipe for PPO."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.recipes.rollouts import RolloutConfig


class PPOConfig(RolloutConfig):
    """Improve a policy by proximal policy optimisation against a reward model."""

    critic: Literal["auto", "separate", "adapter", "shared"] = Field(
        "auto",
        description="The model that predicts the remaining reward of an unfinished answer. separate: a"
        " complete model, which starts as a copy of the reward model. All its weights are trained. adapter: a"
        " second LoRA adapter on the policy's base model. This value requires use_peft. shared: a linear head"
        " on the policy's hidden states. The critic's loss, weighted by value_coefficient, then also trains"
        " the policy. auto: adapter with use_peft, otherwise separate.",
    )
    value_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the critic. If empty, the rate depends on the model's size:"
        " from 5e-4 at 2M parameters to 5e-6 at 1B. If the critic is an adapter, the rate is ten times as"
        " high.",
    )
    critic_warmup_steps: int = Field(
        1,
        ge=0,
        le=100_000,
        description="Number of initial steps that train only the critic, at most steps - 1. The policy's"
        " learning rate schedule starts after these steps.",
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
    value_coefficient: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Weight of the critic's loss. With a shared critic, the weighted loss is added to the"
        " policy's loss. Any other critic has its own optimiser, and the steps of Adam hardly depend on the"
        " weight. The weight then matters only when max_grad_norm clips the gradient. Use"
        " value_learning_rate to train the critic faster or more slowly.",
    )
    reward_spread: Literal["end", "sentences"] = Field(
        "end",
        description="Where an answer's reward is placed. end: at the answer's last token. sentences: the "
        "reward models also score the partial answer up to the end of each sentence, and the reward of the "
        "sentence is the change in the score. The total reward and the best policy are the same in both "
        "cases. Use sentences for long answers.",
    )
    whiten_rewards: bool = Field(
        False,
        description="Scale the rewards of the tokens to variance 1 before advantages are computed. The"
        " mean stays the same.",
    )
    ptx_coefficient: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of a supervised loss on demonstrations that is added to the policy's loss"
        " (PPO-ptx). With this loss, the policy retains what it has learned from the demonstrations.",
    )
    ptx_batch_size: int = Field(
        16, ge=1, le=65_536, description="With ptx_coefficient: number of demonstrations per optimiser step."
    )

    @model_validator(mode="after")
    def _critic_fits_policy(self) -> Self:
        if self.critic == "adapter" and not self.use_peft:
            raise ValueError("a critic of type adapter needs `use_peft`. Set `critic` to auto or separate")
        if self.critic == "shared" and self.sharding == "full":
            raise ValueError(
                "a shared critic can't read the hidden states of a sharded policy. Set `critic` to auto or"
                " separate, or `sharding` to none"
            )
        return self

    @property
    def critic_kind(self) -> Literal["separate", "adapter", "shared"]:
        """The kind of critic that the run uses."""
        if self.critic == "auto":
            return "adapter" if self.use_peft else "separate"
        return self.critic

    @property
    def warmup_steps(self) -> int:
        """The number of steps that train only the critic. The last step always trains the policy, too."""
        return min(self.critic_warmup_steps, self.steps - 1)
