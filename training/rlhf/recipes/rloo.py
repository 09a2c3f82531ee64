"""The recipe for RLOO, GRPO and Dr. GRPO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.rlhf.recipes.rollouts import RolloutConfig

Advantage = Literal["rloo", "grpo", "dr_grpo"]
Aggregation = Literal["token_mean", "answer_mean", "fixed_length"]
Ratio = Literal["sequence", "token"]


class RLOOConfig(RolloutConfig):
    """Improve a policy by comparing several answers to each prompt, without a critic.

    The defaults are RLOO (Ahmadian et al. 2024, arXiv 2402.14740). GRPO (arXiv 2402.03300) is
    advantage=grpo, ratio=token, kl_estimator=k3, aggregation=answer_mean. Dr. GRPO (arXiv 2503.20783) is
    advantage=dr_grpo, ratio=token, kl_estimator=k3, aggregation=fixed_length.
    """

    rollout_prompts: int = Field(16, ge=1, le=65_536, description="Number of prompts answered per step.")
    responses_per_prompt: int = Field(
        4,
        ge=2,
        le=64,
        description="Number of answers sampled per prompt. Each answer is compared with the others, so there "
        "must be at least 2.",
    )
    advantage: Advantage = Field(
        "rloo",
        description="How an answer is compared with the other answers to its prompt. rloo: its reward minus "
        "the mean reward of the other answers. grpo: its reward minus the mean reward of all answers, "
        "divided by the standard deviation of these rewards. dr_grpo: like grpo, without the division.",
    )
    normalise_advantages: bool = Field(
        False,
        description="Scale the advantages to mean 0 and standard deviation 1 over all answers of a step.",
    )
    ratio: Ratio = Field(
        "sequence",
        description="Probability ratio that is clipped. sequence: one ratio for the entire answer (RLOO). "
        "token: one ratio per token (GRPO).",
    )
    aggregation: Aggregation = Field(
        "token_mean",
        description="How token losses are averaged. token_mean: all tokens have the same weight. answer_mean:"
        " all answers have the same weight (GRPO). fixed_length: the sum over tokens is divided by "
        "max_new_tokens (Dr. GRPO). With ratio=sequence, this setting applies only to a KL penalty in the "
        "loss and to the entropy bonus.",
    )
