"""LoRA adapters on one trunk: adding, switching, copying and measuring them.

Several adapters can share a trunk, each under its own name. At most one of them is active in a forward pass.
Without an active adapter, the model computes exactly what its base model computes.

The adapter in training is named POLICY. A run that trains an adapter further keeps a frozen copy, START,
from which distances are measured. If the adapter is new, the start is the base model itself.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.rlhf.core.loop_state import SAMPLED_NUMBERS
from training.rlhf.core.seeds import seed_for
from training.rlhf.models.parts.trunks import HEADS, has_adapters, is_classifier, layers_of
from training.rlhf.recipes.parts.weights import UsesLora

# Names of adapters on a shared trunk. "default" is peft's name for the first adapter.
POLICY, START, REFERENCE, CRITIC = "default", "start", "reference", "critic"


def add_lora(
    model: PreTrainedModel,
    config: UsesLora,
    *,
    base: str,
    new: Sequence[str] = (),
    dropout: float = 0.0,
    seed: int | None = None,
) -> Any:
    """Add a LoRA adapter to the trunk and freeze the trunk's own weights.

    For a classifier, all weights of the head and of the modules in ``new`` are trained and saved with the
    adapter, because ``base`` does not contain these weights. For example, ``new`` contains an encoder's
    pooler if the checkpoint lacks a pooler. With a ``seed``, the adapter's random initial weights depend only
    on the seed. Raises ValueError if the model does not have the target modules or peft cannot adapt them.
    """
    from peft import LoraConfig, TaskType, get_peft_model  # importing peft takes several seconds

    scores = is_classifier(model)
    settings = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=dropout,
        target_modules=config.lora_targets,
        task_type=TaskType.SEQ_CLS if scores else TaskType.CAUSAL_LM,
        modules_to_save=[name for name in new if name.split(".")[0] not in HEADS] if scores else None,
    )
    try:
        with _seeded(seed):
            adapted: Any = get_peft_model(model, settings)
    except ValueError as error:
        raise ValueError(
            f"lora_target_modules={config.lora_target_modules!r} does not fit {type(model).__name__}: {error}"
        ) from error
    # By default, peft stores the name from which the model was loaded. This name can be a relative path.
    adapted.active_peft_config.base_model_name_or_path = base
    return adapted


@contextmanager
def using(model: nn.Module, adapter: str | None) -> Iterator[None]:
    """Inside the context, the model's forward passes use this adapter or, if `adapter` is None, no adapter.
    The backward pass must also run inside the context, because gradient checkpointing repeats the forward
    pass.

    peft's `set_adapter` and `disable_adapter` also change `requires_grad`. With these functions, a later
    backward pass would lose the gradients of the adapter that was active before. This context changes only
    the active adapter.
    """
    layers = layers_with_adapters(model)
    before = [layer._active_adapter for layer in layers]
    try:
        for layer in layers:
            layer._active_adapter = [] if adapter is None else [adapter]
        yield
    finally:
        for layer, name in zip(layers, before, strict=True):
            layer._active_adapter = name


def copy_adapter(model: Any, source: str, target: str, *, trained: bool) -> None:
    """Add a copy of one of the model's adapters under another name. The active adapter doesn't change."""
    add_adapter(model, target, copy.deepcopy(model.peft_config[source]), trained=trained)
    fill_adapter(model, target, adapter_weights(model, source))


def add_adapter(model: Any, name: str, settings: Any, *, trained: bool) -> None:
    """Add a new adapter that contains only LoRA matrices, and no complete modules such as a head. The active
    adapter doesn't change, and all weights that were being trained remain trainable. An adapter of this name
    from an earlier run is replaced.

    The adapter's dropout is set to 0. Otherwise, peft would add dropout layers in training mode, and the
    adapter's outputs would be random until the model's `eval` is next called.
    """
    if name in model.peft_config:
        model.delete_adapter(name)
    settings = copy.deepcopy(settings)
    settings.modules_to_save, settings.task_type = None, next(iter(model.peft_config.values())).task_type
    settings.lora_dropout = 0.0
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with _seeded(0):  # the caller replaces the random weights, and the global generator must not change
        model.add_adapter(name, settings)
    model.requires_grad_(False)
    for parameter in [*learning, *(adapter_weights(model, name).values() if trained else ())]:
        parameter.requires_grad_(True)


def adapter_weights(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Return the matrices of an adapter. The keys are those of peft's files, without the adapter's name."""
    found = {}
    for key, parameter in model.named_parameters():
        parts = key.split(".")
        if any(part.startswith("lora_") for part in parts) and name in parts:
            found[".".join(part for part in parts if part != name)] = parameter
    return found


@torch.no_grad()
def fill_adapter(model: nn.Module, name: str, weights: Mapping[str, Tensor]) -> None:
    """Copy the matrices into an adapter of the same shape."""
    for key, place in adapter_weights(model, name).items():
        place.copy_(weights[key])


def start_of(model: Any) -> str | None:
    """Return the name of the adapter with which training began, or None if training began with the base
    model."""
    return START if START in model.peft_config else None


@torch.no_grad()
def adapter_change(model: Any, name: str = POLICY, start: str | None = None) -> float:
    """Return the norm of the difference between the weights with one adapter and the weights with another
    adapter or none.

    The weights of a layer with an adapter are W + s B A, where B and A have rank r. The norm of a difference
    of two such products is computed from matrices of size 2r × 2r.
    """
    total = 0.0
    for layer in layers_with_adapters(model):
        terms = [
            (sign * layer.scaling[one], *_matrices(layer, one))
            for sign, one in ((1.0, name), (-1.0, start))
            if one is not None and one in layer.scaling
        ]
        if not terms:
            continue
        up = torch.cat([scale * b.double() for scale, _, b in terms], dim=1)
        down = torch.cat([a.double() for _, a, _ in terms], dim=0)
        total += float(((up.T @ up) * (down @ down.T)).sum())
    return math.sqrt(max(total, 0.0))


def base_digest(model: Any) -> str:
    """Return a digest of a sample of the weights in the layers of an adapter's base model, or an empty string
    if the layers can't be identified. The digest does not depend on the precision in which the base model was
    loaded, because the sample is rounded to bfloat16."""
    found = layers_of(model)
    if found is None:
        return ""
    parent, place = found
    digest = hashlib.sha256()
    for name, parameter in list(parent.children())[place].named_parameters():
        if not any(part in name for part in (".lora_", ".modules_to_save.", ".original_module.")):
            flat = parameter.detach().reshape(-1)
            some = (
                flat[:: max(1, flat.numel() // SAMPLED_NUMBERS)].to(torch.bfloat16).to("cpu", torch.float32)
            )
            digest.update(name.replace(".base_layer", "").encode() + some.numpy().tobytes())
    return digest.hexdigest()


def merged_copy(trunk: nn.Module, adapter: str) -> nn.Module:
    """Return a copy of the trunk, with this adapter merged into it and all others removed."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    copied = copy.deepcopy(trunk)
    for name, layer in list(copied.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(adapter_names=[adapter])
            parent, _, child = name.rpartition(".")
            setattr(copied.get_submodule(parent), child, layer.get_base_layer())
    return copied


def merged(model: Any) -> Any:
    """Return the model without adapters. The adapters are merged into a copy of the model. Repeatedly merging
    and unmerging in place would accumulate rounding errors in the trunk."""
    return fold(copy.deepcopy(model)) if has_adapters(model) else model


def fold(model: Any) -> Any:
    """Merge adapters in place and make all weights trainable."""
    return model.merge_and_unload().requires_grad_(True) if has_adapters(model) else model


def act_on_dropout(model: Any) -> None:
    """Enable adapter dropout only while gradients are computed.

    The trunk's own dropout is never active. Models stay in eval mode, so that every layout gives the same
    rewards.
    """
    if not has_adapters(model) or not any(c.lora_dropout for c in model.peft_config.values()):
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.train(torch.is_grad_enabled())


def layers_with_adapters(model: nn.Module) -> list[Any]:
    """Return the layers that have adapters."""
    return [
        module
        for module in model.modules()
        if hasattr(module, "_active_adapter") and hasattr(module, "lora_A")
    ]


def _matrices(layer: Any, name: str) -> tuple[Tensor, Tensor]:
    if name in layer.lora_A:
        return layer.lora_A[name].weight, layer.lora_B[name].weight
    return layer.lora_embedding_A[name], layer.lora_embedding_B[name]


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's global generator inside the context, and restore its state afterwards."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(seed, "adapter"))
        yield
