"""The recipes of all training loops, without torch: a web process that shows their form or validates a
setting must not spend seconds and hundreds of megabytes on importing a training library."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.core.recipe import Recipe

MAX_MARGIN = 100  # reward units; a difference of about one is a clear preference
Schedule = Literal["cosine", "linear", "constant"]
CAUTION = Field(
    0.0,
    ge=0,
    le=10,
    description="Number of standard deviations subtracted from each score, so that answers with uncertain"
    " rewards gain less. Above 0, the reward model must have been trained with uncertainty.",
)


class SFTConfig(Recipe):
    """Settings of supervised fine-tuning."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. Empty: by model size, from 3e-3 (rejection sampling: 3e-4) "
        "at 2M weights to 2e-5 (1e-5) at 1B.",
    )
    epochs: int = Field(1, ge=1, le=100, description="Passes over the demonstrations.")
    batch_size: int = Field(16, ge=1, le=4096, description="Demonstrations per optimiser step.")
    micro_batch_size: int = Field(
        16, ge=1, le=4096, description="Demonstrations per forward pass. Lower it if memory runs out."
    )
    schedule: Schedule = Field("cosine", description="How the learning rate falls after the warm-up.")
    warmup_share: float = Field(
        0.05, ge=0, le=1, description="Share of the steps in which the learning rate rises."
    )
    weight_decay: float = Field(0.0, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are clipped to this norm.")
    max_length: int = Field(
        1024,
        ge=8,
        le=131072,
        description="Maximum tokens of prompt and response together. Longer prompts are cut from the left.",
    )
    heldout_share: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="Share of the demonstrations that are held out to measure heldout_loss.",
    )
    sample_prompts: int = Field(
        4,
        ge=0,
        le=64,
        description="Number of prompts that are answered before and after training, for people to read.",
    )
    sample_tokens: int = Field(96, ge=1, le=4096, description="Maximum tokens of a sample answer.")


class RejectionSamplingConfig(SFTConfig):
    """Settings of rejection sampling: of the sampling, and of the fine-tuning that follows."""

    samples_per_prompt: int = Field(
        8, ge=2, le=256, description="Answers sampled per prompt (N); the best one is kept."
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
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum tokens of an answer.")
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Minimum lead of the best answer over the mean of its prompt, in reward units.",
    )
    caution: float = CAUTION


class RewardModelConfig(Recipe):
    """Settings of training a reward model on rankings of any number of responses, with ties."""

    epochs: int = Field(
        2, ge=1, le=100, description="Passes over the rankings. More than two overfit on real data."
    )
    batch_rankings: int = Field(16, ge=1, le=4096, description="Rankings per optimiser step.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW. Empty: by model size, from 5e-4 at 2M weights to 1e-5 at "
        "1B; ten times that with use_peft.",
    )
    head_learning_rate_factor: float = Field(
        1.0, gt=0, le=1000, description="Learning rate of the head, as a multiple of the trunk's."
    )
    use_peft: bool = Field(
        False,
        description="Train a LoRA adapter instead of all weights. It needs less memory and gives a small "
        "model that depends on its base model.",
    )
    lora_r: int = Field(
        16,
        ge=1,
        le=1024,
        description="With use_peft: rank of the adapter matrices. Further training of an adapter keeps its "
        "own rank and modules.",
    )
    lora_alpha: int = Field(
        32,
        ge=1,
        le=65_536,
        description="With use_peft: the adapter's output is scaled by lora_alpha / lora_r.",
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="With use_peft: dropout before the adapter, in training only."
    )
    lora_target_modules: str = Field(
        "all-linear",
        min_length=1,
        max_length=1000,
        description="With use_peft: names of the linear layers that get an adapter, such as q_proj, v_proj. "
        "all-linear: all linear layers of the trunk.",
    )
    schedule: Schedule = Field("cosine", description="How the learning rate falls after the warm-up.")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises from 0."
    )
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    loss: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry",
        description="Likelihood of a ranking: of its pairs (bradley_terry), or of its successive choices from"
        " best to worst (plackett_luce).",
    )
    ties: Literal["ignore", "rao_kupper", "davidson"] = Field(
        "ignore",
        description="Model of tied pairs, with a learned parameter. ignore: only pairs from different tiers "
        "count.",
    )
    strength: Literal["ignore", "cumulative", "margin"] = Field(
        "ignore",
        description="How to use the stated strength of the preference for the best tier over the next. "
        "cumulative: learn the reward difference at which each level begins. margin: require the "
        "reward difference to exceed the level's entry in margins.",
    )
    margins: str = Field(
        "",
        max_length=1000,
        description="With strength=margin: the margin of each strength level in reward units, such as 1=0.33,"
        " 2=0.67, 3=1.",
    )
    annotators: Literal["alike", "crowd_bt"] = Field(
        "alike",
        description="alike: trust all annotators equally. crowd_bt: learn the reliability of each annotator "
        "(CrowdBT).",
    )
    prior_right: float = Field(
        8.0,
        ge=1,
        le=1e6,
        description="With crowd_bt: first parameter of the Beta prior of a reliability, whose mean is "
        "prior_right / (prior_right + prior_wrong). Larger values need more rankings to move away"
        " from that mean.",
    )
    prior_wrong: float = Field(
        2.0, ge=1, le=1e6, description="With crowd_bt: second parameter of the Beta prior."
    )
    positions: Literal["ignore", "learned"] = Field(
        "ignore",
        description="learned: estimate the effect of the shown position and remove it from the rewards, using"
        " the rankings with a known shown order.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Probability that a stated preference is wrong."
    )
    centring: float = Field(
        0.01, ge=0, le=10, description="Weight of the penalty (r_i + r_j)^2, which keeps rewards near 0."
    )
    uncertainty: Literal["none", "heads", "laplace", "lora"] = Field(
        "none",
        description="Estimate of the uncertainty of the scores, computed after training and saved with the "
        "model. laplace: a normal posterior of the last layer. heads: an ensemble of small heads."
        " lora: an ensemble of adapters; each takes as long as the model in training and scoring.",
    )
    members: int = Field(8, ge=2, le=256, description="With heads or lora: number of ensemble members.")
    prior_spread: float | None = Field(
        None,
        gt=0,
        le=100,
        description="With heads or laplace: prior standard deviation of a reward, in reward units. Empty: the"
        " value under which the rankings are most probable.",
    )
    layout: Literal["auto", "packed", "separate"] = Field(
        "auto",
        description="How responses are laid out as token rows. packed: all responses share the row of their "
        "prompt. separate: one row per response. auto: whichever costs less.",
    )
    max_length: int = Field(
        2048,
        ge=2,
        le=1_000_000,
        description="Maximum tokens of prompt and response together. Longer prompts are cut from the left.",
    )
    micro_batch_tokens: int = Field(
        8192, ge=1, description="Token positions in one forward pass, including padding."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the trunk's computation. Weights, head and loss stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute the activations of each layer in the backward pass instead of storing them. "
        "Activations then need the memory of about one layer, and training takes a third longer.",
    )
    heldout_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the prompts to hold out if the rankings have no split.",
    )
    evaluations: int = Field(
        5, ge=1, le=1000, description="Number of evaluations on the held-out rankings during the run."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Which weights to save: those with the lowest held-out loss (best), or the last."
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="The run ends early after this many consecutive evaluations without a lower held-out "
        "loss. Empty: never.",
    )
    checkpoint_minutes: float | None = Field(
        5.0,
        gt=0,
        le=10_000,
        description="Minutes between checkpoints. A killed run resumes from the last one. The best evaluation"
        " so far is always a checkpoint. Empty: by checkpoint_steps only.",
    )
    checkpoint_steps: int | None = Field(
        None, ge=1, le=1_000_000, description="Optimiser steps between checkpoints. Empty: by time only."
    )

    @model_validator(mode="after")
    def _one_rule_for_ties(self) -> Self:
        if self.loss == "plackett_luce" and self.ties != "ignore":
            raise ValueError("plackett_luce has its own rule for ties; set ties to ignore")
        return self

    @model_validator(mode="after")
    def _one_use_of_strengths(self) -> Self:
        if self.strength != "ignore" and self.loss == "plackett_luce":
            raise ValueError("a strength applies to a pair; set loss to bradley_terry, or strength to ignore")
        if self.strength == "cumulative" and self.ties == "davidson":
            raise ValueError(
                "the middle level of cumulative strengths is a tie; set ties to rao_kupper, which models "
                "that "
                "level, or to ignore"
            )
        if self.strength == "margin":
            if not self.margin_of():
                raise ValueError(
                    "strength is margin, but margins is empty; set it in the form 1=0.33, 2=0.67, 3=1"
                )
            if self.ties != "ignore" or self.label_smoothing or self.annotators != "alike":
                raise ValueError(
                    "a margin is not a probability: set ties to ignore, label_smoothing to 0 and annotators "
                    "to alike, or set strength to cumulative, which works with all of them except davidson"
                )
        elif self.margins:
            raise ValueError("margins is set but not used; set strength to margin, or leave margins empty")
        return self

    @model_validator(mode="after")
    def _one_reason_for_wrong_labels(self) -> Self:
        if self.annotators == "crowd_bt":
            if self.loss == "plackett_luce":
                raise ValueError(
                    "crowd_bt is a model of pairs; set loss to bradley_terry, or annotators to alike"
                )
            if self.label_smoothing:
                raise ValueError("crowd_bt learns the rate of wrong labels; set label_smoothing to 0")
            if self.prior_right <= self.prior_wrong:
                raise ValueError(
                    "prior_right must exceed prior_wrong: otherwise reversed rewards, with annotators who "
                    "always state the opposite, explain the rankings equally well"
                )
        return self

    def margin_of(self) -> dict[int, float]:
        """``margins`` as a table: {strength level: margin in reward units}."""
        found: dict[int, float] = {}
        for entry in filter(None, (part.strip() for part in self.margins.split(","))):
            level, _, margin = entry.partition("=")
            try:
                found[int(level)] = float(margin)
            except ValueError:
                raise ValueError(f"margins has {entry!r}; the form is 1=0.33, 2=0.67, 3=1") from None
            if not 0 <= found[int(level)] <= MAX_MARGIN:
                raise ValueError(
                    f"margins has {entry!r}; a margin must be from 0 to {MAX_MARGIN} reward units"
                )
        return found


class PPOConfig(Recipe):
    """Settings of proximal policy optimisation with a reward model."""

    steps: int = Field(
        40, ge=1, le=1_000_000, description="Number of rollouts, each followed by its updates."
    )
    rollout_prompts: int = Field(32, ge=1, le=65_536, description="Prompts answered per step.")
    responses_per_prompt: int = Field(2, ge=1, le=64, description="Answers sampled per prompt.")
    max_new_tokens: int = Field(96, ge=1, le=65_536, description="Maximum tokens of an answer.")
    temperature: float = Field(
        1.0, gt=0, le=5, description="Temperature of sampling and of all log-probabilities."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the policy (Adam). Empty: by model size, from 4e-4 at 2M weights to "
        "1e-6 at 1B.",
    )
    value_learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Learning rate of the critic. Empty: by model size, from 5e-4 at 2M weights to 5e-6 at "
        "1B.",
    )
    schedule: Schedule = Field("linear", description="How the learning rates fall.")
    epochs: int = Field(1, ge=1, le=100, description="Passes over each rollout.")
    minibatches: int = Field(4, ge=1, le=1024, description="Optimiser steps per pass.")
    critic_warmup_steps: int = Field(
        1, ge=0, le=100_000, description="Number of first steps that train only the critic."
    )
    kl_coefficient: float = Field(
        0.2, ge=0, le=100, description="Reward penalty per nat of KL from the starting policy."
    )
    kl_target: float | None = Field(
        None,
        gt=0,
        description="Target KL in nats per answer. If set, kl_coefficient adapts to keep the KL there.",
    )
    kl_horizon: int = Field(
        2000,
        ge=1,
        description="Number of answers over which kl_coefficient adapts. Larger values adapt more slowly.",
    )
    gamma: float = Field(1.0, ge=0, le=1, description="Discount per token.")
    gae_lambda: float = Field(
        0.95,
        ge=0,
        le=1,
        description="λ of GAE. 1 uses the sampled returns; lower values rely more on the critic.",
    )
    clip: float = Field(0.2, gt=0, le=1, description="Clipping range of the probability ratio around 1.")
    value_clip: float = Field(0.2, gt=0, description="Maximum change of a value in the updates of one step.")
    stop_kl: float | None = Field(
        0.05,
        gt=0,
        description="Approximate KL per token from the rollout's policy at which the updates of a step stop. "
        "Empty: never.",
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    missing_eos_penalty: float = Field(
        1.0, ge=0, le=100, description="Subtracted from the score of a truncated answer."
    )
    score_clip: float = Field(5.0, gt=0, description="Scores are clipped to plus or minus this value.")
    caution: float = CAUTION
    micro_batch_tokens: int = Field(
        2048, ge=1, description="Token positions in one forward pass, including padding."
    )
    sample_every: int = Field(10, ge=1, description="Steps between two reports of sample answers.")
    samples: int = Field(
        3, ge=0, le=100, description="Number of prompts whose answers are shown before and after training."
    )


class SampleConfig(Recipe):
    """Settings of sampling answers from a policy."""

    responses_per_prompt: int = Field(4, ge=1, le=64, description="Distinct answers per prompt.")
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
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum tokens of an answer.")


class EvaluateConfig(Recipe):
    """Settings of an evaluation."""

    responses_per_prompt: int = Field(1, ge=1, le=64, description="Answers scored per prompt.")
    temperature: float = Field(
        1.0, ge=0, le=5, description="Sampling temperature. 0 scores only the most likely answer."
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Sample only from the most likely tokens whose probabilities add up to this share.",
    )
    max_new_tokens: int = Field(128, ge=1, le=8192, description="Maximum tokens of an answer.")
