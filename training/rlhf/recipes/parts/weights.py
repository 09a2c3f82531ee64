"""Settings that determine which weights a run trains, and the precision of the models."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.templates import UsesTemplate


class UsesLora(Recipe):
    """A recipe that can train a LoRA adapter. The settings have the same names as in peft and TRL."""

    use_peft: bool = Field(
        False,
        description="Train a LoRA adapter instead of all weights. Training an adapter needs less memory and "
        "produces a small model that depends on its base model.",
    )
    lora_r: int = Field(
        16,
        ge=1,
        le=1024,
        description="With use_peft: rank of the adapter matrices. An adapter that is trained further keeps "
        "its own rank and modules.",
    )
    lora_alpha: int = Field(
        32,
        ge=1,
        le=65_536,
        description="With use_peft: the adapter's output is scaled by lora_alpha / lora_r.",
    )
    lora_target_modules: str = Field(
        "all-linear",
        min_length=1,
        max_length=1000,
        description="With use_peft: names of the linear layers that get an adapter, separated by commas, such"
        " as q_proj, v_proj. The value all-linear selects all linear layers of the trunk.",
    )

    @property
    def lora_targets(self) -> str | list[str]:
        """The target modules as peft expects them."""
        targets = self.lora_target_modules.strip()
        return targets if targets == "all-linear" else [name.strip() for name in targets.split(",")]


class TrainsLayers(UsesLora):
    """A recipe that trains an adapter, all weights, or the last layers."""

    num_layers_unfrozen: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Without use_peft: train only this many layers at the end of the model, with the norm "
        "and the output layer after them. If empty, all weights are trained.",
    )

    @model_validator(mode="after")
    def _trains_one_kind_of_weights(self) -> Self:
        if self.use_peft and self.num_layers_unfrozen is not None:
            raise ValueError(
                "`use_peft` trains an adapter and freezes all layers. Leave `num_layers_unfrozen` empty, or "
                "set `use_peft` to false"
            )
        return self


class TrainsPolicy(TrainsLayers, UsesTemplate):
    """A recipe that trains a policy."""

    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Precision of the models. With bfloat16, models take half the memory. Adapters, heads, "
        "losses and the optimiser stay in float32. If all weights are trained, the optimiser also keeps a "
        "float32 copy of them.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Recompute the activations of each layer in the backward pass instead of storing them. "
        "Only about one layer's activations are then in memory at a time, but the updates take about a "
        "third longer.",
    )
