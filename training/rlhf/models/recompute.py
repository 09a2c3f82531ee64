"""Activations computed again in the backward pass, in place of being kept: gradient checkpointing."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute_layers(model: nn.Module) -> None:
    """From now on each layer of the model keeps its input alone and is run once more in the backward pass.

    Not by transformers' `gradient_checkpointing_enable`: that does nothing outside of training mode, and
    training mode brings dropout, with which a reward would be another one in training than in evaluation.
    Raises ValueError for a model whose layers can't be told.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} doesn't say which of its modules are layers; "
            "set gradient_checkpointing to false"
        )
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
