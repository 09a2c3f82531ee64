"""The model from which the policy's KL is measured, and copies of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core import distributed, sharding
from training.rlhf.core.masters import master_of
from training.rlhf.core.sharding import local
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.trunks import has_adapters
from training.rlhf.recipes.rollouts import RolloutConfig


@dataclass(frozen=True, slots=True)
class Reference:
    """The model from which the policy's KL is measured.

    If the policy is an adapter, `model` is the policy itself, and the reference is its trunk with another
    `adapter`, or with none. The reference then needs no second copy of the trunk. Otherwise, `model` is a
    frozen copy of the policy.
    """

    model: PreTrainedModel
    adapter: str | None = None

    @contextmanager
    def active(self) -> Iterator[PreTrainedModel]:
        """Inside the context, forward passes of the returned model are those of the reference."""
        with lora.using(self.model, self.adapter):
            yield self.model

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that can move: those of the copy, or of the reference's own adapter. The names
        are the same as those that `weights_of` returns for the policy."""
        if has_adapters(self.model):
            return {} if self.adapter is None else detached(lora.adapter_weights(self.model, self.adapter))
        return detached(dict(self.model.named_parameters()))


def reference_of(actor: PreTrainedModel, kind: str) -> Reference:
    """Return the reference for the start of training. Its outputs are then exactly those of the policy.

    If all weights are trained, the reference is a frozen copy of the policy. If the policy is an adapter, the
    reference uses the policy's trunk: a moving reference with an adapter of its own, and a fixed reference
    without an adapter or, if training started from an existing adapter, with a frozen copy of that adapter.
    """
    if not has_adapters(actor):
        return Reference(copy.deepcopy(actor).requires_grad_(False))
    if kind == "fixed":
        return Reference(actor, lora.start_of(actor))
    lora.copy_adapter(actor, lora.POLICY, lora.REFERENCE, trained=False)
    return Reference(actor, lora.REFERENCE)


@torch.no_grad()
def move_reference(
    config: RolloutConfig, reference: Reference, trained: Mapping[str, Tensor], step: int
) -> None:
    """After the update of a step, move the reference if the recipe has a moving reference: `ema` moves it
    towards the policy's weights ``trained``, and `reset` replaces it with these weights at regular intervals.

    With a moving reference, the policy can move further from the initial policy during a long run, although
    the KL from the current reference is limited. The KL is then no longer the distance from the initial
    policy.
    """
    if config.reference == "ema":
        places = reference.weights()
        for name, weight in trained.items():
            place = local(places[name])
            place.lerp_(local(weight).to(place.dtype), 1.0 - config.reference_decay)
    elif config.reference == "reset" and step % config.reference_steps == 0:
        fill(reference.weights(), trained)


@torch.no_grad()
def pull_back(actor: PreTrainedModel, reference: Reference, share: float) -> None:
    """Move the policy's weights towards the reference's, by ``share`` of the difference.

    An adapter changes the weights of a layer by s B A. If the reference has no adapter, B moves towards 0,
    and the change shrinks by ``share``.
    """
    if share == 0:
        return
    places = reference.weights()
    for name, weight in trained_parameters(actor).items():
        if places or "lora_B" in name or "lora_embedding_B" in name:
            master = master_of(weight)
            trained = local(master)
            start = local(places[name]).to(trained.dtype) if places else torch.zeros_like(trained)
            trained.lerp_(start, share)
            if master is not weight:
                weight.copy_(master)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the module's trained weights by name. Tied weights occur only once. The tensors are not copies,
    so their values change when the module is trained."""
    return detached(trained_parameters(module))


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    if has_adapters(module):
        return lora.adapter_weights(module, lora.POLICY)
    return {name: one for name, one in module.named_parameters() if one.requires_grad}


def fill(places: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Copy the weights into the tensors in ``places`` that have the same names."""
    for name, weight in weights.items():
        sharding.fill(places[name], weight)


def change_of(actor: PreTrainedModel, reference: Reference, kind: str) -> dict[str, float]:
    """Return the metric `parameters/change`: the norm of the change of all weights since the start of
    training. The result is empty if all weights are trained and the reference moves, because the initial
    weights are then no longer in memory."""
    if has_adapters(actor):
        return {"parameters/change": lora.adapter_change(actor, lora.POLICY, lora.start_of(actor))}
    if kind != "fixed":
        return {}
    start = reference.weights()
    squares = [
        (local(one).float() - local(start[name]).float()).square().sum()
        for name, one in weights_of(actor).items()
    ]
    if sharding.is_sharded(actor):
        found = distributed.all_sum({"squares": float(torch.stack(squares).double().sum())})
        return {"parameters/change": math.sqrt(found["squares"])}
    return {"parameters/change": float(torch.stack(squares).sum().sqrt())}


def detached(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in parameters.items()}
