"""The recipe for rejection sampling."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.recipes.parts.generation import UsesGeneration
from training.rlhf.recipes.parts.rewards import UsesRewards
from training.rlhf.recipes.parts.servers import FULL_TRAINING
from training.rlhf.recipes.sft import SFTConfig


class RejectionSamplingConfig(UsesRewards, UsesGeneration, SFTConfig):
    """Settings for rejection sampling: the sampling itself and the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Number of answers sampled per prompt and round (N)."
    )
    keep: Literal["top_1", "top_k", "threshold"] = Field(
        "top_1",
        description="Which of a prompt's answers to imitate. top_1: the answer with the highest reward. "
        "top_k: the k distinct answers with the highest rewards. threshold: all distinct answers with a "
        "reward of at least threshold.",
    )
    k: int = Field(2, ge=1, le=256, description="With top_k: maximum number of answers kept per prompt.")
    threshold: float = Field(
        0.0,
        ge=-1000,
        le=1000,
        description="With threshold: minimum reward of a kept answer, in standard deviations of the reward"
        " model's training rewards. 0 is their mean.",
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Minimum difference between the best answer's reward and the mean reward of the prompt's"
        " finished answers, in standard deviations of the reward model's training rewards. Prompts with a"
        " smaller difference are excluded.",
    )
    rounds: int = Field(
        1,
        ge=1,
        le=100,
        description="Number of rounds (RAFT). In each round, the policy of the previous round answers"
        " all prompts and is then fine-tuned on the kept answers.",
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
        description="Sample only from the smallest set of likely tokens whose probabilities add up to at"
        " least this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum length of an answer, in tokens.")

    @model_validator(mode="after")
    def _server_can_load_the_weights(self) -> Self:
        if self.server and not self.use_peft and self.rounds > 1:
            raise ValueError(FULL_TRAINING)
        return self

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.keep == "top_k" and self.k > self.samples_per_prompt:
            raise ValueError(
                f"`k` is {self.k}, but only {self.samples_per_prompt} answers are sampled per prompt. Lower"
                " `k` or raise `samples_per_prompt`"
            )
        if self.max_new_tokens >= self.max_length:
            raise ValueError(
                f"answers of {self.max_new_tokens} tokens leave no room for a prompt within `max_length`"
                f" ({self.max_length}). Lower `max_new_tokens` or raise `max_length`"
            )
        return self
