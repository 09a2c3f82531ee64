"""Recipes for the training loops, without torch. The reward model's recipe is in `reward_recipe`.

A training library takes seconds and hundreds of megabytes to import. A web process that shows a recipe's form
or validates a recipe must avoid this cost.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Schedule = Literal["cosine", "linear", "constant"]
CAUTION = Field(
    0.0,
    ge=0,
    le=10,
    description="Each score is reduced by this multiple of its standard deviation. Answers with"
    " uncertain scores are then favoured less. Values above 0 require a reward model that was"
    " trained with the setting uncertainty.",
)


class Recipe(BaseModel):
    """The settings of one run. A single definition provides validation, JSON Schema, the browser form and the
    docs.

    A recipe is frozen, so a run uses exactly the settings that were validated. An unknown field is an error,
    so a misspelt setting never silently keeps its default. Every field has a description and bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed for every random choice: data order, sampling, new weights. "
        "On a CPU, runs with the same seed on the same machine give identical results.",
    )


class SFTConfig(Recipe):
    """Settings for supervised fine-tuning."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. If empty, the rate depends on the model's size:"
        " from 3e-3 at 2M parameters to 2e-5 at 1B. For rejection sampling, the range is from 3e-4 to 1e-5.",
    )
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over the demonstrations.")
    batch_size: int = Field(16, ge=1, le=4096, description="Number of demonstrations per optimiser step.")
    micro_batch_size: int = Field(
        16,
        ge=1,
        le=4096,
        description="Number of demonstrations per forward pass. Lower this value if memory runs out.",
    )
    schedule: Schedule = Field("cosine", description="Learning rate schedule after the warm-up.")
    warmup_share: float = Field(
        0.05, ge=0, le=1, description="Share of steps during which the learning rate rises from 0."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are clipped to this norm.")
    max_length: int = Field(
        1024,
        ge=8,
        le=131072,
        description="Maximum length of prompt and response together, in tokens. Longer prompts are truncated "
        "on the left.",
    )
    heldout_share: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="Share of demonstrations held out to measure heldout_loss.",
    )
    sample_prompts: int = Field(
        4,
        ge=0,
        le=64,
        description="Number of prompts whose answers are shown before and after training.",
    )
    sample_tokens: int = Field(96, ge=1, le=4096, description="Maximum length of a sample answer, in tokens.")


class RejectionSamplingConfig(SFTConfig):
    """Settings for rejection sampling: the sampling itself and the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Number of answers sampled per prompt (N). Only the best answer is kept."
    )
    temperature: float = Field(
        1.0,
        gt=0,
        le=5,
        description="Sampling temperature. Higher values give more varied answers to choose from.",
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Minimum difference between the best answer's reward and the mean reward of all answers"
        " to the prompt, in reward units. Prompts with a smaller difference are excluded.",
    )
    caution: float = CAUTION


class PPOConfig(Recipe):
    """Improve a policy by proximal policy optimisation against a reward model."""

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
    value_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the critic. If empty, the rate depends on the model's size:"
        " from 5e-4 at 2M parameters to "
        "5e-6 at 1B.",
    )
    schedule: Schedule = Field("linear", description="Learning rate schedule.")
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Number of optimiser steps per pass.")
    critic_warmup_steps: int = Field(
        1, ge=0, le=100_000, description="Number of initial steps that train only the critic."
    )
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
    gamma: float = Field(1.0, ge=0, le=1, description="Discount factor per token (γ in GAE).")
    gae_lambda: float = Field(
        0.95,
        ge=0,
        le=1,
        description="λ in GAE. 1 uses the sampled returns; lower values rely more on the critic.",
    )
    clip: float = Field(0.2, gt=0, le=1, description="Clipping range of the probability ratio around 1.")
    value_clip: float = Field(
        0.2, gt=0, description="Maximum change in a predicted value during the updates in one step."
    )
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
    caution: float = CAUTION
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Maximum number of token positions in one forward pass, including padding."
    )
    sample_every: int = Field(10, ge=1, description="Number of steps between two reports of sample answers.")
    samples: int = Field(
        3, ge=0, le=100, description="Number of prompts whose answers are shown before and after training."
    )


class SampleConfig(Recipe):
    """Settings for sampling answers from a policy."""

    responses_per_prompt: int = Field(4, ge=1, le=64, description="Number of distinct answers per prompt.")
    temperature: float = Field(
        1.0,
        ge=0,
        le=5,
        description="Sampling temperature. Higher values give more varied answers; 0 always gives the most "
        "likely answer.",
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")


class EvaluateConfig(Recipe):
    """Settings for an evaluation."""

    responses_per_prompt: int = Field(1, ge=1, le=64, description="Number of answers scored per prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Sampling temperature. With 0, only the most likely answer is scored."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")
