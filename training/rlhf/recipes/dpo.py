"""The recipe for direct preference optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.rlhf.recipes.parts.base import Checkpointed, Schedule, ShardsModel
from training.rlhf.recipes.parts.weights import TrainsPolicy


class DPOConfig(TrainsPolicy, ShardsModel, Checkpointed):
    """Settings for direct preference optimisation (DPO) and identity preference optimisation (IPO)."""

    loss: Literal["dpo", "ipo"] = Field(
        "dpo",
        description="Loss of a pair. dpo: the Bradley–Terry loss of the policy's implicit rewards. ipo: a"
        " squared error whose target for the difference between the pair's log-ratios is 1 / (2 beta). IPO"
        " overfits less if preferences are nearly deterministic.",
    )
    beta: float = Field(
        0.1,
        gt=0,
        le=1000,
        description="Strength of the KL penalty that keeps the policy near its starting point. Lower values"
        " allow larger changes. With length_normalised, use values around 5.",
    )
    length_normalised: bool = Field(
        False,
        description="Use the mean log-probability per token instead of the sum over the response. Long"
        " responses then have no advantage. With ipo, enable this setting to reproduce the results of the"
        " IPO paper.",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Assumed probability that a stated preference is incorrect (conservative DPO).",
    )
    ties: Literal["ignore", "half"] = Field(
        "ignore",
        description="How to use tied pairs. ignore: only pairs from different tiers are used. half: a tied "
        "pair counts as half a preference in each direction, so the policy learns to favour neither "
        "response more than the starting policy does.",
    )
    sft_coefficient: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Weight of an additional supervised loss: the negative log-likelihood per token of the "
        "best tier's responses. This loss keeps the preferred responses from becoming less likely (RPO).",
    )
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over the rankings.")
    batch_rankings: int = Field(16, ge=1, le=4096, description="Number of rankings per optimiser step.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW. If empty, the rate depends on the model's size:"
        " from 3e-4 at 2M parameters to 1e-6 at 1B."
        " With use_peft, the rate is ten times as high.",
    )
    schedule: Schedule = Field("linear", description="Learning rate schedule after the warm-up.")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="Share of steps during which the learning rate rises from 0."
    )
    weight_decay: float = Field(0.0, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, le=1000, description="Gradients are clipped to this norm.")
    max_length: int = Field(
        2048,
        ge=2,
        le=1_000_000,
        description="Maximum length of prompt and response together, in tokens. Longer prompts lose "
        "their first tokens. Responses are never truncated.",
    )
    micro_batch_tokens: int = Field(
        4096,
        ge=1,
        description="Maximum number of token positions in one forward pass. Responses to the same prompt "
        "share the prompt's tokens if the model supports this. A ranking that exceeds this number needs "
        "several passes, which together take a third longer than a single pass. If the device runs out of "
        "memory, the limit is halved and the run continues.",
    )
    heldout_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of prompts to hold out if the rankings are not already split.",
    )
    evaluations: int = Field(
        5, ge=1, le=1000, description="Number of evaluations on the held-out rankings during the run."
    )
    sample_prompts: int = Field(
        4,
        ge=0,
        le=64,
        description="Number of prompts whose answers are shown before and after training.",
    )
    sample_tokens: int = Field(96, ge=1, le=4096, description="Maximum length of a sample answer, in tokens.")
    kl_samples: int = Field(
        64,
        ge=0,
        le=4096,
        description="Number of answers used to measure the KL divergence from the starting policy after "
        "training. Each answer has at most sample_tokens tokens. 0 skips the measurement.",
    )
