"""Settings of the loops that sample rollouts and train on them: PPO and RLOO."""

from __future__ import annotations

from pydantic import Field

from training.rlhf.recipes.base import Checkpointed, Schedule
from training.rlhf.recipes.rewards import UsesRewards
from training.rlhf.recipes.templates import UsesTemplate


class RolloutConfig(UsesTemplate, UsesRewards, Checkpointed):
    """Settings for sampling rollouts, for the KL penalty and for the clipped policy updates."""

    steps: int = Field(
        40,
        ge=1,
        le=1_000_000,
        description="Number of steps. Each step samples a rollout and trains on it.",
    )
    rollout_prompts: int = Field(32, ge=1, le=65_536, description="Number of prompts answered per step.")
    responses_per_prompt: int = Field(2, ge=1, le=64, description="Number of answers sampled per prompt.")
    max_new_tokens: int = Field(96, ge=1, le=65_536, description="Maximum length of an answer, in tokens.")
    temperature: float = Field(
        1.0, gt=0, le=5, description="Temperature for sampling and for all log-probabilities."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the policy (Adam). If empty, the rate depends on the model's"
        " size: from 4e-4 at 2M "
        "parameters to 1e-6 at 1B.",
    )
    schedule: Schedule = Field("linear", description="Learning rate schedule.")
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Number of optimiser steps per pass.")
    kl_coefficient: float = Field(
        0.2,
        ge=0,
        le=100,
        description="Penalty subtracted from the reward per nat of KL divergence from the initial policy.",
    )
    kl_target: float | None = Field(
        None,
        gt=0,
        description="Target KL in nats per answer. If set, kl_coefficient adapts to keep the KL near this "
        "target.",
    )
    kl_horizon: int = Field(
        2000,
        ge=1,
        description="Number of answers over which kl_coefficient adapts. Larger values slow the adaptation.",
    )
    clip: float = Field(0.2, gt=0, le=1, description="Clipping range of the probability ratio around 1.")
    stop_kl: float | None = Field(
        0.05,
        gt=0,
        description="Maximum approximate KL per token from the policy that sampled the rollout. Above this "
        "value, the updates in a step end early. If empty, updates never end early.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    missing_eos_penalty: float = Field(
        1.0, ge=0, le=100, description="Penalty subtracted from the score of a truncated answer."
    )
    score_clip: float = Field(5.0, gt=0, description="Scores are clipped to plus or minus this value.")
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Maximum number of token positions in one forward pass, including padding."
    )
    sample_every: int = Field(10, ge=1, description="Number of steps between two reports of sample answers.")
    samples: int = Field(
        3, ge=0, le=100, description="Number of prompts whose answers are shown before and after training."
    )
