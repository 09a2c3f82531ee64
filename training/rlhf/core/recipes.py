"""The recipes of all loops, in one place and without torch: a web process that shows a form for them, or
refuses a bad setting, must not spend seconds and hundreds of megabytes on a training library.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.core.recipe import Recipe

MAX_MARGIN = 100  # reward units, of which about one makes a clear preference
Schedule = Literal["cosine", "linear", "constant"]
CAUTION = Field(
    0.0,
    ge=0,
    le=10,
    description="Spreads taken off each score, so that answers of which the reward model knows little gain "
    "less. Above 0 it must have been trained with uncertainty.",
)


class SFTConfig(Recipe):
    """Settings of supervised fine-tuning."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak rate of AdamW. Empty: by size, 3e-3 (rejection sampling: 3e-4) at 2M weights to "
        "2e-5 (1e-5) at 1B.",
    )
    epochs: int = Field(1, ge=1, le=100, description="Passes over the demonstrations.")
    batch_size: int = Field(16, ge=1, le=4096, description="Demonstrations per optimiser step.")
    micro_batch_size: int = Field(
        16, ge=1, le=4096, description="Demonstrations per forward pass; lower it when memory runs out."
    )
    schedule: Schedule = Field("cosine", description="How the learning rate falls after the warm-up.")
    warmup_share: float = Field(
        0.05, ge=0, le=1, description="Share of the steps with a rising learning rate."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are clipped to this norm.")
    max_length: int = Field(
        1024,
        ge=8,
        le=131072,
        description="Tokens of prompt and response; longer prompts are cut from the left.",
    )
    heldout_share: float = Field(
        0.02, ge=0, le=0.5, description="Share of the demonstrations kept back to measure heldout_loss."
    )
    sample_prompts: int = Field(4, ge=0, le=64, description="Prompts answered before and after, to be read.")
    sample_tokens: int = Field(96, ge=1, le=4096, description="Longest sample answer, in tokens.")


class RejectionSamplingConfig(SFTConfig):
    """Settings of rejection sampling: those of the sampling, and those of the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Answers per prompt of which one is kept (N)."
    )
    temperature: float = Field(1.0, gt=0, le=5, description="Higher is more varied: more to choose from.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the likeliest tokens that add up to this share."
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Least lead of the best answer over its prompt's mean, in reward units.",
    )
    caution: float = CAUTION


class RewardModelConfig(Recipe):
    """Train a reward model on rankings of any number of responses, ties included."""

    epochs: int = Field(
        2, ge=1, le=100, description="Passes over the rankings. More than two overfit real data."
    )
    batch_rankings: int = Field(16, ge=1, le=4096, description="Rankings per optimiser step.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak rate of AdamW. Empty: by size, 5e-4 at 2M weights to 1e-5 at 1B; with use_peft ten "
        "times that.",
    )
    head_learning_rate_factor: float = Field(
        1.0, gt=0, le=1000, description="Head's learning rate over the trunk's."
    )
    use_peft: bool = Field(
        False,
        description="Train a LoRA adapter in place of all weights: less memory, and a small model that needs "
        "its base.",
    )
    lora_r: int = Field(
        16,
        ge=1,
        le=1024,
        description="For use_peft: rank of the adapter's matrices. A reward model that is an adapter and is "
        "trained on keeps its own rank and modules.",
    )
    lora_alpha: int = Field(
        32, ge=1, le=65_536, description="For use_peft: the adapter's share is scaled by lora_alpha / lora_r."
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="For use_peft: dropout before the adapter, in training only."
    )
    lora_target_modules: str = Field(
        "all-linear",
        min_length=1,
        max_length=1000,
        description="For use_peft: names of the linear layers that get an adapter, as q_proj, v_proj; "
        "all-linear is all of the trunk's.",
    )
    schedule: Schedule = Field("cosine", description="Decay after the warm-up.")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps in which the rate rises from 0."
    )
    weight_decay: float = Field(0.01, ge=0, le=10, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="The gradient is scaled down to this norm.")
    loss: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry",
        description="Likelihood of a ranking: over its pairs, or over its choices from best to worst.",
    )
    ties: Literal["ignore", "rao_kupper", "davidson"] = Field(
        "ignore",
        description="Model of tied pairs, its parameter learned. ignore: only pairs across tiers count.",
    )
    strength: Literal["ignore", "cumulative", "margin"] = Field(
        "ignore",
        description="Use of how much better the best tier was said to be than the next. cumulative: the "
        "difference of rewards that each level begins at is learned. margin: the difference is to exceed "
        "that of the table in margins.",
    )
    margins: str = Field(
        "",
        max_length=1000,
        description="For strength=margin: each level of the project's scale and its margin in reward units, "
        "as 1=0.33, 2=0.67, 3=1.",
    )
    annotators: Literal["alike", "crowd_bt"] = Field(
        "alike",
        description="Whether all are believed alike, or how often each means what they say is learned "
        "(CrowdBT).",
    )
    prior_right: float = Field(
        8.0,
        ge=1,
        le=1e6,
        description="For crowd_bt: Beta prior of a reliability, its mean prior_right / (prior_right + "
        "prior_wrong); the higher both are, the more rankings it takes to move from there.",
    )
    prior_wrong: float = Field(2.0, ge=1, le=1e6, description="For crowd_bt: the prior's other number.")
    positions: Literal["ignore", "learned"] = Field(
        "ignore",
        description="learned: what standing first, second, … is worth is taken out of the rewards, by the "
        "rankings whose shown order is known.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Probability that a stated preference is wrong."
    )
    centring: float = Field(
        0.01, ge=0, le=10, description="Weight of (r_i + r_j)^2, which holds rewards near 0."
    )
    uncertainty: Literal["none", "heads", "laplace", "lora"] = Field(
        "none",
        description="How sure of its scores the model is, worked out when it has been trained and saved "
        "beside it. laplace: a normal posterior of the last layer. heads: an ensemble of small heads. lora: "
        "an ensemble of adapters, each as long in training as the model, and in scoring.",
    )
    members: int = Field(8, ge=2, le=256, description="For heads and lora: how many.")
    prior_spread: float | None = Field(
        None,
        gt=0,
        le=100,
        description="For heads and laplace: standard deviation of a reward before any ranking is read, in "
        "reward units. Empty: what makes the rankings most probable.",
    )
    layout: Literal["auto", "packed", "separate"] = Field(
        "auto",
        description="Rows of tokens: prompt shared by its responses, one row each, or the cheaper.",
    )
    max_length: int = Field(
        2048,
        ge=2,
        le=1_000_000,
        description="Tokens of prompt and response. Longer: the prompt is cut on its left.",
    )
    micro_batch_tokens: int = Field(
        8192, ge=1, description="Token places in one forward pass, padding included."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the trunk's arithmetic. Weights, head and loss stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute each layer's activations again in the backward pass in place of keeping them: "
        "memory of about one layer's, a third more time.",
    )
    heldout_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the prompts held out where the rankings carry no split of their own.",
    )
    evaluations: int = Field(
        5, ge=1, le=1000, description="How often the held-out rankings are scored in the run."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Weights to save: lowest held-out loss, or the last."
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Evaluations in a row without a lower held-out loss after which the run ends early. "
        "Empty: never.",
    )
    checkpoint_minutes: float | None = Field(
        5.0,
        gt=0,
        le=10_000,
        description="Minutes between checkpoints, from which a run that was killed goes on; the best "
        "evaluation so far is always one. Empty: by checkpoint_steps alone.",
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, le=1_000_000, description="Optimiser steps between checkpoints. Empty: by time alone."
    )

    @model_validator(mode="after")
    def _one_rule_for_ties(self) -> Self:
        if self.loss == "plackett_luce" and self.ties != "ignore":
            raise ValueError("plackett_luce has its own rule for tied tiers; set ties to ignore")
        return self

    @model_validator(mode="after")
    def _one_use_of_strengths(self) -> Self:
        if self.strength != "ignore" and self.loss == "plackett_luce":
            raise ValueError("a strength is of a pair; set loss to bradley_terry, or strength to ignore")
        if self.strength == "cumulative" and self.ties == "davidson":
            raise ValueError(
                "cumulative strengths have a tie for their middle level; set ties to rao_kupper, which is "
                "that level, or to ignore"
            )
        if self.strength == "margin":
            if not self.margin_of():
                raise ValueError("strength is margin, but margins is empty; write it as 1=0.33, 2=0.67, 3=1")
            if self.ties != "ignore" or self.label_smoothing or self.annotators != "alike":
                raise ValueError(
                    "a margin is no probability: set ties to ignore, label_smoothing to 0 and annotators to "
                    "alike, or strength to cumulative, which goes with all but davidson"
                )
        elif self.margins:
            raise ValueError("margins are given but not used; set strength to margin, or leave margins empty")
        return self

    @model_validator(mode="after")
    def _one_reason_for_wrong_labels(self) -> Self:
        if self.annotators == "crowd_bt":
            if self.loss == "plackett_luce":
                raise ValueError("crowd_bt is of pairs; set loss to bradley_terry, or annotators to alike")
            if self.label_smoothing:
                raise ValueError("crowd_bt learns how often labels are wrong; set label_smoothing to 0")
            if self.prior_right <= self.prior_wrong:
                raise ValueError(
                    "prior_right must exceed prior_wrong: else all rewards turned round, by annotators who "
                    "say the opposite of what they mean, explain the rankings as well"
                )
        return self

    def margin_of(self) -> dict[int, float]:
        """The table in ``margins``: {level of strength: margin in reward units}."""
        found: dict[int, float] = {}
        for entry in filter(None, (part.strip() for part in self.margins.split(","))):
            level, _, margin = entry.partition("=")
            try:
                found[int(level)] = float(margin)
            except ValueError:
                raise ValueError(f"margins holds {entry!r}; write it as 1=0.33, 2=0.67, 3=1") from None
            if not 0 <= found[int(level)] <= MAX_MARGIN:
                raise ValueError(f"margins holds {entry!r}; a margin is from 0 to {MAX_MARGIN} reward units")
        return found


class PPOConfig(Recipe):
    """Improve a policy by proximal policy optimisation against a reward model."""

    steps: int = Field(40, ge=1, le=1_000_000, description="Rollouts, each followed by its updates.")
    rollout_prompts: int = Field(32, ge=1, le=65_536, description="Prompts answered per step.")
    responses_per_prompt: int = Field(2, ge=1, le=64, description="Answers to each of them.")
    max_new_tokens: int = Field(96, ge=1, le=65_536, description="Longest answer, in tokens.")
    temperature: float = Field(1.0, gt=0, le=5, description="Of sampling, and of every log-probability.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Policy's rate for Adam. Empty: by size, 4e-4 at 2M weights to 1e-6 at 1B.",
    )
    value_learning_rate: float | None = Field(
        None, gt=0, le=1, description="Critic's rate. Empty: by size, 5e-4 at 2M weights to 5e-6 at 1B."
    )
    schedule: Schedule = Field("linear", description="Learning rates fall to 0, or stay.")
    epochs: int = Field(1, ge=1, le=100, description="Passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Optimiser steps per pass.")
    critic_warmup_steps: int = Field(
        1, ge=0, le=100_000, description="First steps that train only the critic."
    )
    kl_coefficient: float = Field(0.2, ge=0, le=100, description="Reward lost per nat from the start policy.")
    kl_target: float | None = Field(
        None, gt=0, description="Nats per answer; when given, kl_coefficient adapts to hold the KL there."
    )
    kl_horizon: int = Field(
        2000, ge=1, description="Answers over which the coefficient adapts. Longer is slower."
    )
    gamma: float = Field(1.0, ge=0, le=1, description="Discount per token.")
    gae_lambda: float = Field(
        0.95, ge=0, le=1, description="1: returns as sampled; lower leans on the critic."
    )
    clip: float = Field(0.2, gt=0, le=1, description="Range of the probability ratio around 1.")
    value_clip: float = Field(0.2, gt=0, description="How far a value may move in one step's updates.")
    stop_kl: float | None = Field(
        0.05,
        gt=0,
        description="Approximate KL per token from the rollout's policy that ends a step's updates.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm.")
    missing_eos_penalty: float = Field(
        1.0, ge=0, le=100, description="Taken off the score of a truncated answer."
    )
    score_clip: float = Field(5.0, gt=0, description="Scores are held within plus and minus this.")
    caution: float = CAUTION
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Token places in one forward pass, padding included."
    )
    sample_every: int = Field(10, ge=1, description="Steps between two reports of sample answers.")
    samples: int = Field(3, ge=0, le=100, description="Prompts whose answers are shown before and after.")


class SampleConfig(Recipe):
    """Settings of sampling answers from a policy."""

    responses_per_prompt: int = Field(4, ge=1, le=64, description="Different answers wanted for each prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Higher is more varied; 0 is the likeliest answer."
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the likeliest tokens that add up to this share."
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")


class EvaluateConfig(Recipe):
    """Settings of an evaluation."""

    responses_per_prompt: int = Field(1, ge=1, le=64, description="Answers judged per prompt.")
    temperature: float = Field(1.0, ge=0, le=5, description="0 judges the likeliest answer only.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the likeliest tokens that add up to this share."
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")
