"""The recipe for supervised fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.rlhf.recipes.parts.base import Checkpointed, Schedule, ShardsModel
from training.rlhf.recipes.parts.weights import TrainsPolicy

Packing = Literal["auto", "off"]
# Which answers in a snapshot the policy imitates.
SnapshotAnswers = Literal["best_responses", "rewrites", "all"]


class SFTConfig(TrainsPolicy, ShardsModel, Checkpointed):
    """Settings for supervised fine-tuning."""

    learning_rate: float | None = Field(
        None,
        gt=0,
        le=0.1,
        description="Peak learning rate of AdamW. If empty, the rate depends on the model's size:"
        " from 3e-3 at 2M parameters to 2e-5 at 1B. For rejection sampling, the range is from 3e-4 to 1e-5."
        " With use_peft, the rate is ten times as high.",
    )
    epochs: int = Field(1, ge=1, le=100, description="Number of passes over the demonstrations.")
    batch_size: int = Field(16, ge=1, le=4096, description="Number of demonstrations per optimiser step.")
    micro_batch_tokens: int = Field(
        4096,
        ge=1,
        description="Maximum number of token positions in one forward pass, including padding. The limit "
        "affects the result only through rounding. If the device runs out of memory, the limit is halved "
        "and the run continues.",
    )
    packing: Packing = Field(
        "auto",
        description="auto: several demonstrations share a row without attending to each other, if the model "
        "supports it. off: one demonstration per row, padded to the longest row. The result is the same.",
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
        description="Maximum length of prompt and response together, in tokens. Longer prompts lose "
        "their first tokens.",
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
    kl_samples: int = Field(
        64,
        ge=0,
        le=4096,
        description="Number of answers used to measure the KL divergence from the starting policy after "
        "training. Each answer has at most sample_tokens tokens. 0 skips the measurement.",
    )
