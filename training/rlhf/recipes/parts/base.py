"""The base classes of all recipes.

Recipes don't import torch. Importing a training library takes several seconds and hundreds of megabytes of
memory. A web process that shows a recipe's form or validates a recipe must avoid this cost.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Schedule = Literal["cosine", "linear", "constant"]


class Recipe(BaseModel):
    """The settings of one run. A single definition provides validation, JSON Schema, the browser form and the
    docs.

    A recipe is frozen, so a run uses exactly the settings that were validated. An unknown field is an error,
    so a misspelt setting is never silently ignored. Every field has a description and bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: int = Field(
        default=0,
        ge=0,
        lt=2**31,
        description="Seed for every random choice: data order, sampling, new weights. "
        "On a CPU, runs with the same seed on the same machine give identical results.",
    )


class KeepsDevice(Recipe):
    """A recipe of a run that can be resumed on another machine."""

    other_device: bool = Field(
        False,
        description="Whether the run may continue on a different kind of device from the one it started on, "
        "for example on a CPU if its GPU is no longer available. If false, the run fails instead and keeps "
        "its checkpoint. The results differ slightly between kinds of devices, and a CPU is much slower.",
    )


class Checkpointed(KeepsDevice):
    """A recipe of a training loop that writes checkpoints."""

    checkpoint_minutes: float | None = Field(
        5.0,
        gt=0,
        le=10_000,
        description="Number of minutes between checkpoints. A killed run resumes from the last checkpoint."
        " If empty, only checkpoint_steps applies.",
    )
    checkpoint_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Number of steps between checkpoints. If empty, only checkpoint_minutes applies.",
    )


class ShardsModel(Recipe):
    """A recipe of a loop that can divide the model among several processes (`core.sharding`)."""

    sharding: Literal["none", "full"] = Field(
        "none",
        description="How several processes store the model. none: each process stores all weights, "
        "gradients and optimiser states. full: each process stores a part of them, and the weights of each "
        "layer are gathered before the layer runs (FSDP). With full, each GPU needs less memory, the "
        "processes exchange more data, and the run must train all weights.",
    )

    @model_validator(mode="after")
    def _shards_all_weights(self) -> Self:
        if self.sharding == "full":
            if getattr(self, "use_peft", False):
                raise ValueError(
                    "`sharding` requires that all weights of the model are trained. With an adapter, set"
                    " `sharding` to `none`, or set `use_peft` to false"
                )
            if getattr(self, "num_layers_unfrozen", None) is not None:
                raise ValueError(
                    "`sharding` requires that all weights of the model are trained. Leave"
                    " `num_layers_unfrozen` empty, or set `sharding` to `none`"
                )
        return self


# Settings that do not affect a loop's result. A run can resume with different values of these settings.
# `max_minutes` and `processes` belong to the platform's recipes.
CADENCE = {
    *("checkpoint_minutes", "checkpoint_steps", "max_minutes", "processes"),
    *("server", "server_model", "server_connections", "server_timeout"),
    *("generation_memory", "kl_samples", "cuda_graphs", "sharding", "other_device"),
}
