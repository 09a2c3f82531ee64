"""Settings of the loops that sample rollouts and train on them: PPO and RLOO."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.recipes.parts.base import Checkpointed, Schedule, ShardsModel
from training.rlhf.recipes.parts.generation import UsesGeneration
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.rlhf.recipes.parts.servers import FULL_TRAINING
from training.rlhf.recipes.parts.weights import TrainsPolicy

# Number of answers from which the KL of the final policy is estimated if there is a target, and the maximum
# number of rollouts that provide these answers. At a KL near 1 nat, the mean over 512 answers has a standard
# error of about 0.07 nats. With the 64 answers of a step, the standard error would be 0.2 nats.
FINAL_ANSWERS, FINAL_ROLLOUTS = 512, 8


class RolloutConfig(TrainsPolicy, UsesRewards, UsesGeneration, ShardsModel, Checkpointed):
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
    temperature_end: float | None = Field(
        None,
        gt=0,
        le=5,
        description="If set, the temperature changes linearly over the steps to this value.",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the policy (Adam). If empty, the rate depends on the model's"
        " size: from 4e-4 at 2M parameters to 1e-6 at 1B. With use_peft, the rate is ten times as high.",
    )
    schedule: Schedule = Field("linear", description="Learning rate schedule.")
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Number of optimiser steps per pass.")
    kl_coefficient: float = Field(
        0.5,
        ge=0,
        le=100,
        description="Weight of the KL penalty, in reward units per nat of KL divergence from the reference.",
    )
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        "k1",
        description="Where the KL penalty acts, and its estimator. k1: in the reward. k2: in the loss, with"
        " an unbiased gradient. k3: in the loss, with an unbiased value and gradient.",
    )
    kl_target: float | None = Field(
        None,
        gt=0,
        description="Target KL in nats per answer. If set, kl_coefficient adapts at every step to keep the"
        " KL near this target. If the KL is about to exceed the target, the weights also move back towards"
        " the reference. At the end, the KL is measured on up to 512 answers. If the final KL may be above"
        " the target, the weights move back before the policy is saved.",
    )
    kl_ceiling: float | None = Field(
        None,
        gt=0,
        description="Maximum KL in nats per answer. In a step whose KL exceeds this maximum, the scores are"
        " ignored, and the policy only moves back towards the reference. The measured KL of the saved"
        " policy never exceeds this maximum.",
    )
    reference: Literal["fixed", "ema", "reset"] = Field(
        "fixed",
        description="The model from which the KL is measured. fixed: the initial policy. ema: an exponential"
        " moving average of the policy. reset: a copy of the policy, made every reference_steps steps.",
    )
    reference_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="With reference=ema: weight of the old reference in the moving average at each step. The"
        " policy has the remaining weight.",
    )
    reference_steps: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="Number of steps between two copies of the policy, with reference=reset.",
    )
    clip: float = Field(0.2, gt=0, le=1, description="Clipping range of the probability ratio around 1.")
    dual_clip: float | None = Field(
        None,
        gt=1,
        le=1000,
        description="Upper limit of the ratio for tokens with a negative advantage, for example 3. If empty,"
        " there is no limit.",
    )
    entropy_coefficient: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Weight of the entropy bonus in the loss. Larger values keep the answers more varied.",
    )
    stop_kl: float | None = Field(
        0.05,
        gt=0,
        description="Maximum approximate KL divergence from the policy that sampled the rollout, in nats per "
        "token. Above this value, the updates in a step end early. If empty, updates never end early.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    missing_eos_penalty: float = Field(
        1.0, ge=0, le=100, description="Penalty subtracted from the score of a truncated answer."
    )
    length_penalty: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Penalty subtracted from the score for each token of the answer.",
    )
    score_clip: float = Field(5.0, gt=0, description="Scores are clipped to plus or minus this value.")
    importance_cap: float | None = Field(
        2.0,
        ge=1,
        le=1000,
        description="Maximum importance weight of a token or, with ratio=sequence, of an answer. The weights"
        " correct for the difference between the probabilities on the server that sampled the answer and"
        " those in the training forward pass. If empty, answers are not weighted. Without a server, this"
        " setting has no effect.",
    )
    micro_batch_tokens: int = Field(
        2048,
        ge=1,
        description="Maximum number of token positions in one forward pass. Answers to the same prompt"
        " share the prompt's tokens if the models support this. The limit affects the result only through"
        " rounding. If the device runs out of memory, the limit is halved and the run continues.",
    )
    sample_every: int = Field(10, ge=1, description="Number of steps between two reports of sample answers.")
    samples: int = Field(
        3, ge=0, le=100, description="Number of prompts whose answers are shown before and after training."
    )

    @property
    def final_rollouts(self) -> int:
        """The number of rollouts from which the KL of the final policy is estimated, or 0 without a
        target."""
        if self.kl_target is None:
            return 0
        answers = self.rollout_prompts * self.responses_per_prompt
        return min(FINAL_ROLLOUTS, math.ceil(FINAL_ANSWERS / answers))

    @model_validator(mode="after")
    def _server_can_load_the_weights(self) -> Self:
        if self.server and not self.use_peft:
            raise ValueError(FULL_TRAINING)
        return self

    @model_validator(mode="after")
    def _kl_settings_fit(self) -> Self:
        if self.kl_target is not None and self.kl_coefficient == 0:
            raise ValueError("kl_target adapts kl_coefficient, which must then be above 0")
        if self.reference == "ema" and self.dtype == "bfloat16" and not self.use_peft:
            raise ValueError(
                "a moving average in bfloat16 can't follow small changes of the policy. Set `dtype` to "
                "float32, `use_peft` to true, or `reference` to reset"
            )
        if self.kl_ceiling is not None and self.kl_target is not None and self.kl_ceiling <= self.kl_target:
            raise ValueError("kl_ceiling must be above kl_target")
        return self
