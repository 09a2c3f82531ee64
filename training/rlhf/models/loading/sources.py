"""The types of model that the loops accept, and the type of an opened model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.rlhf.models.checks.refusal import Purpose


class Loaded(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Opened(NamedTuple):
    """A model as loaded from its folder, before an adapter is merged into its base.

    ``new`` contains the names of weights that are random because no file contains them, such as the weights
    of a new head. The list is empty if all weights were read. For a complete model, ``base`` is the model's
    source. For an adapter, ``base`` is the base model that the adapter was trained on.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    new: list[str]
    base: str


# A model as input to a loop: a folder, a hub name, or a model in memory. A loop that trains a model in memory
# modifies the model in place.
ModelSource: TypeAlias = str | Path | Loaded


def class_for(purpose: Purpose) -> Any:
    """Return the transformers class that opens a model for this purpose."""
    return AutoModelForCausalLM if purpose == Purpose.POLICY else AutoModelForSequenceClassification
