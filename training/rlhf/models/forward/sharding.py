"""Divide a transformers model among processes (`core.sharding`), and gather a complete copy of it.

Generation and final scoring use a complete copy, because a sharded model would gather its weights for every
token. The copy has the precision in which the model computes, and is freed afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from training.rlhf.core import distributed
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.sharding import is_sharded, shard, whole
from training.rlhf.models.forward import segments
from training.rlhf.models.forward.logprobs import PROBED_TOKENS, transform_of
from training.rlhf.models.parts.trunks import is_classifier, is_encoder, layers_of, vocabulary_rows

ADVICE = "Set sharding to none"
# For each sharded model, a copy whose weights take no memory.
_empty: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()


def shard_model(model: Any, *, dtype: torch.dtype) -> None:
    """Divide the model among all processes, in place. Each layer is gathered on its own. Raises UnusableInput
    if the model's structure does not allow this."""
    name, found = type(model).__name__, layers_of(model)
    if found is None:
        raise UnusableInput(f"sharding is full, but the layers of {name} can't be identified. {ADVICE}")
    if is_classifier(model):
        if is_encoder(model):
            raise UnusableInput(
                f"sharding is full, but {name} is an encoder, which can't be sharded. {ADVICE}"
            )
    elif transform_of(model, _probe(model)) is None:
        raise UnusableInput(
            f"sharding is full, but {name} computes its logits in an unknown way, so its output layer can't "
            f"be gathered on its own. {ADVICE}"
        )
    if not torch.cuda.is_available():
        segments.attend_by_segment(model)  # a sharded model's attention can't be replaced
    # The entries in `memo` replace the weights in the copy.
    memo: dict[int, Any] = {id(one): _without_memory(one) for one in model.parameters()}
    empty = copy.deepcopy(model, memo)
    parent, place = found
    shard(model, list(list(parent.children())[place].children()), dtype=dtype)
    _empty[model] = empty


def shard_critic(critic: nn.Module, trunk: Any, head: nn.Module, *, dtype: torch.dtype) -> None:
    """Divide a critic with a trunk of its own among all processes. Its head computes in float32."""
    found = layers_of(trunk)
    if found is None:
        raise UnusableInput(
            f"sharding is full, but the layers of {type(trunk).__name__} can't be identified. {ADVICE}"
        )
    if not torch.cuda.is_available():
        segments.attend_by_segment(trunk)
    parent, place = found
    layers = list(list(parent.children())[place].children())
    shard(critic, layers, dtype=dtype, exact=[head])


@contextmanager
def complete_model(model: Any, *, only_first: bool = False) -> Iterator[PreTrainedModel]:
    """Yield the model with complete weights: the model itself or, if it is sharded, a copy. All processes
    must enter the context, and must not run the sharded model inside it.

    With ``only_first``, the copy has weights only in the first process, in main memory.
    """
    if not is_sharded(model):
        yield model
        return
    empty: Any = _empty[model]
    for name, module in model.named_modules():
        empty.get_submodule(name)._buffers.update(module._buffers)
    places = dict(empty.named_parameters())
    weights: dict[int, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        place = places[name]
        values = whole(parameter, dtype=place.dtype)
        if only_first:
            values = values.to("cpu") if distributed.is_first() else place
        weights[id(place)] = nn.Parameter(values, requires_grad=False)
    _replace(empty, weights)
    try:
        yield empty
    finally:
        _replace(empty, {id(weights[id(place)]): place for place in places.values()})


def _replace(model: nn.Module, weights: Mapping[int, nn.Parameter]) -> None:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = weights[id(parameter)]


def _without_memory(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)


def _probe(model: Any) -> torch.Tensor:
    return torch.arange(PROBED_TOKENS, device=model.device)[None] % vocabulary_rows(model)
