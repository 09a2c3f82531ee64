"""The recipe for training a reward model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.recipes.parts.base import Checkpointed, Schedule, ShardsModel
from training.rlhf.recipes.parts.weights import TrainsLayers

MAX_MARGIN = 100  # reward units; a difference of about one unit corresponds to a clear preference


class RewardModelConfig(TrainsLayers, ShardsModel, Checkpointed):
    """Train a reward model on rankings of any number of responses, ties included."""

    epochs: int = Field(
        2,
        ge=1,
        le=100,
        description="Number of passes over the rankings. With more than two passes,"
        " models usually overfit real data.",
    )
    batch_rankings: int = Field(16, ge=1, le=4096, description="Number of rankings per optimiser step.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Peak learning rate of AdamW. If empty, the rate depends on the model's size:"
        " from 5e-4 at 2M parameters to 1e-5 at 1B. With use_peft, the rate is ten times as high.",
    )
    head_learning_rate_factor: float = Field(
        1.0, gt=0, le=1000, description="Learning rate of the head, as a multiple of the trunk's."
    )
    lora_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="With use_peft: share of the adapter's inputs that are dropped in training.",
    )
    schedule: Schedule = Field("cosine", description="Learning rate schedule after the warm-up.")
    warmup_fraction: float = Field(
        0.1, ge=0, lt=1, description="Share of steps during which the learning rate rises from 0."
    )
    weight_decay: float = Field(0.01, ge=0, le=10, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradients are clipped to this norm.")
    loss: Literal["bradley_terry", "plackett_luce"] = Field(
        "bradley_terry",
        description="Likelihood of a ranking. bradley_terry: the likelihood of the ranking's pairs. "
        "plackett_luce: the likelihood of the successive choices from best to worst.",
    )
    ties: Literal["ignore", "rao_kupper", "davidson"] = Field(
        "ignore",
        description="How to use tied pairs. ignore: only pairs from different tiers are used. rao_kupper and"
        " davidson: models of ties with a learned parameter.",
    )
    strength: Literal["ignore", "cumulative", "margin"] = Field(
        "ignore",
        description="How to use the stated strength of the preference for the best tier over the next tier. "
        "cumulative: learn the reward difference at which each level begins. margin: require the"
        " reward difference to exceed the level's margin. The margins setting lists the margins.",
    )
    margins: str = Field(
        "",
        max_length=1000,
        description="With strength=margin: the margin of each strength level in reward units, such as 1=0.33,"
        " 2=0.67, 3=1.",
    )
    annotators: Literal["alike", "crowd_bt"] = Field(
        "alike",
        description="How much to trust each annotator. alike: trust all annotators equally. crowd_bt: trust"
        " each annotator according to a learned reliability (CrowdBT).",
    )
    prior_right: float = Field(
        8.0,
        ge=1,
        le=1e6,
        description="With crowd_bt: first parameter of the Beta prior for reliabilities. The prior's mean is "
        "prior_right / (prior_right + prior_wrong). With larger values, more rankings are needed to "
        "move a reliability away from that mean.",
    )
    prior_wrong: float = Field(
        2.0, ge=1, le=1e6, description="With crowd_bt: second parameter of the Beta prior for reliabilities."
    )
    positions: Literal["ignore", "learned"] = Field(
        "ignore",
        description="How to treat the effect of the display position. learned: estimate the effect from the "
        "rankings with a known display order, and remove the effect from the rewards.",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Assumed probability that a stated preference is incorrect."
    )
    centring: float = Field(
        0.01, ge=0, le=10, description="Weight of the penalty (r_i + r_j)^2, which keeps rewards near 0."
    )
    uncertainty: Literal["none", "heads", "laplace", "lora"] = Field(
        "none",
        description="Method for estimating the uncertainty of the scores. The estimate is computed"
        " after training and saved with the model. laplace: a normal posterior of the last layer."
        " heads: an ensemble of small heads."
        " lora: an ensemble of adapters. Training or scoring with each adapter takes as long as with"
        " the model itself.",
    )
    members: int = Field(8, ge=2, le=256, description="With heads or lora: number of ensemble members.")
    prior_spread: float | None = Field(
        None,
        gt=0,
        le=100,
        description="With heads or laplace: prior standard deviation of a reward, in reward units. If"
        " empty, the value that makes the rankings most probable is used.",
    )
    layout: Literal["auto", "packed", "separate"] = Field(
        "auto",
        description="How responses are laid out as token rows. packed: all responses to a prompt share one "
        "row. separate: each response has its own row. auto: the layout that needs less computation.",
    )
    max_length: int = Field(
        2048,
        ge=2,
        le=1_000_000,
        description="Maximum length of prompt and response together, in tokens. Longer prompts lose "
        "their first tokens.",
    )
    micro_batch_tokens: int = Field(
        8192,
        ge=1,
        description="Maximum number of token positions in one forward pass, including padding. If the device "
        "runs out of memory, the limit is halved and the run continues.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Precision of the trunk's computation. Weights, head and loss stay in float32."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute the activations of each layer in the backward pass instead of storing them. "
        "Only about one layer's activations are then in memory at a time, but training takes about a third "
        "longer.",
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
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which weights to save. best: the weights with the lowest held-out loss."
        " last: the final weights.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Number of consecutive evaluations without a lower held-out loss after which the run "
        "ends early. If empty, the run never ends early.",
    )

    @model_validator(mode="after")
    def _shards_no_adapters(self) -> Self:
        if self.sharding == "full" and self.uncertainty == "lora":
            raise ValueError(
                "`uncertainty` is `lora`, which needs the complete model in every process. Set `sharding` to"
                " `none`, or `uncertainty` to `laplace` or `heads`"
            )
        return self

    @model_validator(mode="after")
    def _one_rule_for_ties(self) -> Self:
        if self.loss == "plackett_luce" and self.ties != "ignore":
            raise ValueError("plackett_luce has its own rule for ties. Set `ties` to `ignore`")
        return self

    @model_validator(mode="after")
    def _one_use_of_strengths(self) -> Self:
        if self.strength != "ignore" and self.loss == "plackett_luce":
            raise ValueError(
                "strengths apply only to pairs. Set `loss` to `bradley_terry`, or `strength` to `ignore`"
            )
        if self.strength == "cumulative" and self.ties == "davidson":
            raise ValueError(
                "the cumulative scale has its own middle level for ties. Set `ties` to"
                " `rao_kupper`, which corresponds to that level, or to `ignore`"
            )
        if self.strength == "margin":
            if not self.margin_of():
                raise ValueError(
                    "`strength` is `margin`, but `margins` is empty. Write margins as 1=0.33, 2=0.67, 3=1"
                )
            if self.ties != "ignore" or self.label_smoothing or self.annotators != "alike":
                raise ValueError(
                    "a loss with margins is not a likelihood. Set `ties` to `ignore`,"
                    " `label_smoothing` to 0 and `annotators` to `alike`. Alternatively, set `strength` to"
                    " `cumulative`, which is incompatible only with `davidson` ties"
                )
        elif self.margins:
            raise ValueError(
                "`margins` is set but not used. Set `strength` to `margin`, or leave `margins` empty"
            )
        return self

    @model_validator(mode="after")
    def _one_reason_for_wrong_labels(self) -> Self:
        if self.annotators == "crowd_bt":
            if self.loss == "plackett_luce":
                raise ValueError(
                    "crowd_bt applies only to pairs. Set `loss` to `bradley_terry`, or `annotators`"
                    " to `alike`"
                )
            if self.label_smoothing:
                raise ValueError("crowd_bt learns how often labels are incorrect. Set `label_smoothing` to 0")
            if self.prior_right <= self.prior_wrong:
                raise ValueError(
                    "prior_right must exceed prior_wrong. Otherwise, the model could explain the rankings"
                    " equally well with reversed rewards and annotators who state the opposite of their"
                    " preference"
                )
        return self

    def margin_of(self) -> dict[int, float]:
        """Parse ``margins`` into a dictionary that maps strength levels to margins in reward units."""
        found: dict[int, float] = {}
        for entry in filter(None, (part.strip() for part in self.margins.split(","))):
            level, _, margin = entry.partition("=")
            try:
                found[int(level)] = float(margin)
            except ValueError:
                raise ValueError(
                    f"`margins` contains {entry!r}. Write margins as 1=0.33, 2=0.67, 3=1"
                ) from None
            if not 0 <= found[int(level)] <= MAX_MARGIN:
                raise ValueError(
                    f"`margins` contains {entry!r}. A margin must be between 0 and {MAX_MARGIN} reward units"
                )
        return found
