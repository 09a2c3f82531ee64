"""The recipes of all loops, without torch.

A web process that shows a form for a recipe, or validates one, must not spend seconds and hundreds of
megabytes on importing a training library.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_MARGIN = 100  # reward units; about one unit makes a clear preference
Schedule = Literal["cosine", "linear", "constant"]
CAUTION = Field(
    0.0,
    ge=0,
    le=10,
    description="Standard deviations subtracted from each score, so that answers about which the "
    "reward model is uncertain earn less. If above 0, the reward model must have been trained with "
    "uncertainty.",
)


class Recipe(BaseModel):
    """The settings of one run: one definition gives validation, JSON Schema, the browser form and the docs.

    A recipe is frozen, so what was validated is what runs. An unknown field is an error, so a misspelt
    setting never silently keeps its default. Every field has a description and bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed of every random choice: data order, sampling, new weights. "
        "The same seed gives the same run on the same machine (CPU).",
    )


class SFTConfig(Recipe):
    """Settings of supervised fine-tuning."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. Empty: by model size, from 3e-3 (rejection "
        "sampling: 3e-4) at 2M weights to 2e-5 (1e-5) at 1B.",
    )
    epochs: int = Field(1, ge=1, le=100, description="Passes over the demonstrations.")
    batch_size: int = Field(16, ge=1, le=4096, description="Demonstrations per optimiser step.")
    micro_batch_size: int = Field(
        16, ge=1, le=4096, description="Demonstrations per forward pass. Lower it if memory runs out."
    )
    schedule: Schedule = Field("cosine", description="Learning rate schedule after the warm-up.")
    warmup_share: float = Field(0.05, ge=0, le=1, description="Share of the steps in the warm-up.")
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are clipped to this norm.")
    max_length: int = Field(
        1024,
        ge=8,
        le=131072,
        description="Tokens of prompt and response. Longer prompts are truncated on the left.",
    )
    heldout_share: float = Field(
        0.02, ge=0, le=0.5, description="Share of the demonstrations held out to measure heldout_loss."
    )
    sample_prompts: int = Field(
        4, ge=0, le=64, description="Prompts answered before and after training, as samples."
    )
    sample_tokens: int = Field(96, ge=1, le=4096, description="Longest sample answer, in tokens.")


class RejectionSamplingConfig(SFTConfig):
    """Settings of rejection sampling: the sampling itself and the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Answers per prompt, of which one is kept (N)."
    )
    temperature: float = Field(
        1.0, gt=0, le=5, description="Sampling temperature. Higher gives more varied answers."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Minimum lead of the best answer over the mean of its prompt, in reward units.",
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
        description="Peak learning rate of AdamW. Empty: by model size, from 5e-4 at 2M weights to "
        "1e-5 at 1B; ten times that with use_peft.",
    )
    head_learning_rate_factor: float = Field(
        1.0, gt=0, le=1000, description="Learning rate of the head divided by that of the trunk."
    )
    use_peft: bool = Field(
        False,
        description="Train a LoRA adapter instead of all weights. Needs less memory; the result is small and "
        "requires its base model.",
    )
    lora_r: int = Field(
        16,
        ge=1,
        le=1024,
        description="For use_peft: rank of the adapter's matrices. An existing adapter that is "
        "trained further keeps its own rank and modules.",
    )
    lora_alpha: int = Field(
        32,
        ge=1,
        le=65_536,
        description="For use_peft: the adapter's output is scaled by lora_alpha / lora_r.",
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="For use_peft: dropout before the adapter, during training only."
    )
    lora_target_modules: str = Field(
        "all-linear",
        min_length=1,
        max_length=1000,
        description="For use_peft: names of the linear layers that get an adapter, such as q_proj, v_proj. "
        "all-linear means all of them in the trunk.",
    )
    schedule: Schedule = Field("cosine", description="Learning rate schedule after the warm-up.")
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps in the warm-up.")
    weight_decay: float = Field(0.01, ge=0, le=10, description="AdamW weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    loss: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry",
        description="Likelihood of a ranking: over its pairs, or over its successive choices from "
        "best to worst.",
    )
    ties: Literal["ignore", "rao_kupper", "davidson"] = Field(
        "ignore",
        description="Model of tied pairs; its parameter is learned. ignore: tied pairs are left out.",
    )
    strength: Literal["ignore", "cumulative", "margin"] = Field(
        "ignore",
        description="Use of the stated strength, that is, how much better the best tier is than the next. "
        "cumulative: learn the difference in reward at which each level begins. margin: the difference "
        "must exceed the value given in margins.",
    )
    margins: str = Field(
        "",
        max_length=1000,
        description="For strength=margin: the margin in reward units for each level of the project's scale, "
        "for example 1=0.33, 2=0.67, 3=1.",
    )
    annotators: Literal["alike", "crowd_bt"] = Field(
        "alike",
        description="alike: trust all annotators equally. crowd_bt: learn each annotator's "
        "reliability (CrowdBT).",
    )
    prior_right: float = Field(
        8.0,
        ge=1,
        le=1e6,
        description="For crowd_bt: Beta prior of a reliability, with mean prior_right / (prior_right + "
        "prior_wrong). The higher both are, the more rankings are needed to move away from it.",
    )
    prior_wrong: float = Field(
        2.0, ge=1, le=1e6, description="For crowd_bt: the second parameter of the prior."
    )
    positions: Literal["ignore", "learned"] = Field(
        "ignore",
        description="learned: estimate the effect of being shown first, second, … from the rankings "
        "whose shown order is known, and remove it from the rewards.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Assumed probability that a stated preference is wrong."
    )
    centring: float = Field(
        0.01, ge=0, le=10, description="Weight of (r_i + r_j)^2, which keeps rewards near 0."
    )
    uncertainty: Literal["none", "heads", "laplace", "lora"] = Field(
        "none",
        description="Estimate of the model's uncertainty, computed after training and saved with the model. "
        "laplace: a normal posterior of the last layer. heads: an ensemble of small heads. lora: an ensemble "
        "of adapters; each takes as long to train, and to score with, as the model itself.",
    )
    members: int = Field(8, ge=2, le=256, description="For heads and lora: number of ensemble members.")
    prior_spread: float | None = Field(
        None,
        gt=0,
        le=100,
        description="For heads and laplace: prior standard deviation of a reward, in reward units. "
        "Empty: the value that maximises the evidence of the rankings.",
    )
    layout: Literal["auto", "packed", "separate"] = Field(
        "auto",
        description="Layout of the tokens. packed: the responses share their prompt in one row. "
        "separate: one row per response. auto: whichever is cheaper.",
    )
    max_length: int = Field(
        2048,
        ge=2,
        le=1_000_000,
        description="Tokens of prompt and response. Longer prompts are truncated on the left.",
    )
    micro_batch_tokens: int = Field(
        8192, ge=1, description="Token places in one forward pass, padding included."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the trunk's arithmetic. Weights, head and loss stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute each layer's activations in the backward pass instead of storing them: "
        "activation memory of about one layer, for a third more time.",
    )
    heldout_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the prompts held out if the rankings contain no split of their own.",
    )
    evaluations: int = Field(
        5, ge=1, le=1000, description="Number of evaluations on the held-out rankings during the run."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Weights to save: those with the lowest held-out loss, or the last."
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="End the run early after this many evaluations in a row without a lower held-out loss. "
        "Empty: never.",
    )
    checkpoint_minutes: float | None = Field(
        5.0,
        gt=0,
        le=10_000,
        description="Minutes between checkpoints, from which a killed run resumes. A new best evaluation is "
        "always saved as one. Empty: only every checkpoint_steps.",
    )
    checkpoint_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Optimiser steps between checkpoints. Empty: only every checkpoint_minutes.",
    )

    @model_validator(mode="after")
    def _one_rule_for_ties(self) -> Self:
        if self.loss == "plackett_luce" and self.ties != "ignore":
            raise ValueError("plackett_luce has its own rule for tied tiers. Set ties to ignore")
        return self

    @model_validator(mode="after")
    def _one_use_of_strengths(self) -> Self:
        if self.strength != "ignore" and self.loss == "plackett_luce":
            raise ValueError("strengths apply to pairs. Set loss to bradley_terry, or strength to ignore")
        if self.strength == "cumulative" and self.ties == "davidson":
            raise ValueError(
                "cumulative strengths have their own middle level for ties. Set ties to rao_kupper, which is "
                "that level, or to ignore"
            )
        if self.strength == "margin":
            if not self.margin_of():
                raise ValueError("strength is margin, but margins is empty. Write it as 1=0.33, 2=0.67, 3=1")
            if self.ties != "ignore" or self.label_smoothing or self.annotators != "alike":
                raise ValueError(
                    "a loss with margins is not a likelihood. Set ties to ignore, label_smoothing to 0 and "
                    "annotators to alike, or set strength to cumulative, which excludes only davidson"
                )
        elif self.margins:
            raise ValueError("margins are given but not used. Set strength to margin, or leave margins empty")
        return self

    @model_validator(mode="after")
    def _one_reason_for_wrong_labels(self) -> Self:
        if self.annotators == "crowd_bt":
            if self.loss == "plackett_luce":
                raise ValueError(
                    "crowd_bt applies to pairs. Set loss to bradley_terry, or annotators to alike"
                )
            if self.label_smoothing:
                raise ValueError("crowd_bt learns how often labels are wrong. Set label_smoothing to 0")
            if self.prior_right <= self.prior_wrong:
                raise ValueError(
                    "prior_right must exceed prior_wrong. Otherwise negated rewards, with annotators "
                    "who say the opposite of what they mean, explain the rankings equally well"
                )
        return self

    def margin_of(self) -> dict[int, float]:
        """Parse ``margins`` into {level of strength: margin in reward units}."""
        found: dict[int, float] = {}
        for entry in filter(None, (part.strip() for part in self.margins.split(","))):
            level, _, margin = entry.partition("=")
            try:
                found[int(level)] = float(margin)
            except ValueError:
                raise ValueError(f"margins contains {entry!r}. Write it as 1=0.33, 2=0.67, 3=1") from None
            if not 0 <= found[int(level)] <= MAX_MARGIN:
                raise ValueError(
                    f"margins contains {entry!r}. A margin is between 0 and {MAX_MARGIN} reward units"
                )
        return found


class PPOConfig(Recipe):
    """Improve a policy by proximal policy optimisation against a reward model."""

    steps: int = Field(
        40, ge=1, le=1_000_000, description="Number of rollouts, each followed by its updates."
    )
    rollout_prompts: int = Field(32, ge=1, le=65_536, description="Prompts answered per step.")
    responses_per_prompt: int = Field(2, ge=1, le=64, description="Answers per prompt.")
    max_new_tokens: int = Field(96, ge=1, le=65_536, description="Longest answer, in tokens.")
    temperature: float = Field(
        1.0, gt=0, le=5, description="Temperature of sampling and of every log-probability."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the policy. Empty: by model size, from 4e-4 at 2M weights to "
        "1e-6 at 1B.",
    )
    value_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the critic. Empty: by model size, from 5e-4 at 2M weights to "
        "5e-6 at 1B.",
    )
    schedule: Schedule = Field("linear", description="Learning rate schedule.")
    epochs: int = Field(1, ge=1, le=100, description="Passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Optimiser steps per pass.")
    critic_warmup_steps: int = Field(
        1, ge=0, le=100_000, description="Number of initial steps that train only the critic."
    )
    kl_coefficient: float = Field(
        0.2,
        ge=0,
        le=100,
        description="KL penalty: reward subtracted per nat of divergence from the initial policy.",
    )
    kl_target: float | None = Field(
        None,
        gt=0,
        description="Target KL in nats per answer. If given, kl_coefficient adapts to keep the KL there.",
    )
    kl_horizon: int = Field(
        2000, ge=1, description="Answers over which the coefficient adapts. Higher is slower."
    )
    gamma: float = Field(1.0, ge=0, le=1, description="Discount factor per token.")
    gae_lambda: float = Field(
        0.95,
        ge=0,
        le=1,
        description="λ of GAE. 1 uses the sampled returns; lower values rely more on the critic.",
    )
    clip: float = Field(0.2, gt=0, le=1, description="Clipping range of the probability ratio around 1.")
    value_clip: float = Field(
        0.2, gt=0, description="Clipping range of the value in one step's updates, in reward units."
    )
    stop_kl: float | None = Field(
        0.05,
        gt=0,
        description="End a step's updates when the approximate KL per token from the rollout's "
        "policy exceeds this.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    missing_eos_penalty: float = Field(
        1.0, ge=0, le=100, description="Subtracted from the score of a truncated answer."
    )
    score_clip: float = Field(5.0, gt=0, description="Scores are clipped to plus or minus this.")
    caution: float = CAUTION
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Token places in one forward pass, padding included."
    )
    sample_every: int = Field(10, ge=1, description="Steps between reports of sample answers.")
    samples: int = Field(
        3, ge=0, le=100, description="Number of prompts whose answers are shown before and after."
    )


class SampleConfig(Recipe):
    """Settings of sampling answers from a policy."""

    responses_per_prompt: int = Field(4, ge=1, le=64, description="Distinct answers per prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Sampling temperature. 0 gives the most likely answer."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")


class EvaluateConfig(Recipe):
    """Settings of an evaluation."""

    responses_per_prompt: int = Field(1, ge=1, le=64, description="Answers judged per prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Sampling temperature. 0 judges the most likely answer only."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Longest answer, in tokens.")
