"""Open a policy for training. Only the weights that the recipe trains require gradients."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.sharding import shards
from training.rlhf.models.checks.adapter import biases_refused
from training.rlhf.models.files import adapters
from training.rlhf.models.forward.sharding import shard_model
from training.rlhf.models.loading.opening import open_generator
from training.rlhf.models.loading.refusals import refuse_tokens_without_embedding
from training.rlhf.models.loading.sources import Loaded, ModelSource
from training.rlhf.models.parts import lora
from training.rlhf.models.parts.lora import merged
from training.rlhf.models.parts.trunks import HEADS, has_adapters, is_classifier, layers_of, plain
from training.rlhf.models.tokens.templates import with_arguments
from training.rlhf.recipes.parts.weights import TrainsPolicy

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # a layer's position in a weight's name


def dtype_of(config: TrainsPolicy) -> torch.dtype:
    """Return the data type of the recipe's models."""
    return torch.bfloat16 if config.dtype == "bfloat16" else torch.float32


def open_trainable(
    source: ModelSource, config: TrainsPolicy, *, out_dir: str | Path, divide: bool = True
) -> Loaded:
    """Return the policy in eval mode. Only the weights that the recipe trains require gradients.

    With ``use_peft``, everything is frozen except the matrices of a LoRA adapter. If the source is an
    adapter, this adapter is trained further on its own base, with its own rank and modules, and a frozen copy
    of it is added under the name `lora.START`. Otherwise, a new adapter is added, and training starts from
    the base model.

    Without ``use_peft``, an adapter is merged into its base. The recipe then trains all weights or the last
    ``num_layers_unfrozen`` layers. With ``sharding``, the model is divided among the processes. If ``divide``
    is false, the caller must divide the model.

    A model in memory is changed in place. Raises ModelNotFound, and UnusableInput for settings that don't fit
    the model.
    """
    # A model that will be sharded is loaded onto the CPU, because it may be too large for one GPU.
    device = torch.device("cpu") if shards(config) else None
    model, tokenizer, base = _opened(source, dtype_of(config), device)
    if config.use_peft:
        _refuse_base(base, out_dir)
        if has_adapters(model):
            _refuse_trained_biases(model, source)
            lora.copy_adapter(model, lora.POLICY, lora.START, trained=False)
            _train_only_matrices(model)
        else:
            try:
                model = lora.add_lora(model, config, base=adapters.lasting_name(base), seed=config.seed)
            except ValueError as error:
                raise UnusableInput(str(error)) from error
    else:
        model = merged(model).requires_grad_(True)
        if config.num_layers_unfrozen is not None:
            freeze_all_but_last(model, config.num_layers_unfrozen)
    if divide and shards(config):
        shard_model(model.train(False), dtype=dtype_of(config))
    return Loaded(model.train(False), with_arguments(tokenizer, config.arguments_of_template))


def convert_weights(model: nn.Module, dtype: torch.dtype) -> Any:
    """Convert a model's weights to another data type, in place. Buffers that are not saved with the model
    keep their precision, as in ``from_pretrained``.

    `nn.Module.to` would also round the frequencies of rotary positions. The log-probabilities of the saved
    model would then differ from those of the trained model, because a saved model is loaded with exact
    frequencies.
    """
    saved = model.state_dict().keys()
    kept = {name: buffer for name, buffer in model.named_buffers() if name not in saved}
    model.to(dtype)
    for name, buffer in kept.items():
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, buffer)
    return model


def trained_module(model: Any) -> nn.Module:
    """Return a module whose trainable parameters are those that a policy's optimiser trains.

    This is the model itself or, for an adapter, a module that contains only the adapter's matrices. The trunk
    of an adapter can also have other adapters that are in training, such as a critic's.
    """
    return adapter_module(model, lora.POLICY) if has_adapters(model) else model


def adapter_module(model: nn.Module, name: str) -> nn.ParameterDict:
    """Return a module that contains only one adapter's matrices."""
    # A parameter's name can't contain dots.
    return nn.ParameterDict(
        {key.replace(".", "/"): p for key, p in lora.adapter_weights(model, name).items()}
    )


def freeze_all_but_last(model: Any, number: int) -> None:
    """Freeze all weights except those of the last layers, of the modules that follow the layers (the final
    norm), and of the output layer or a reward model's head. An output layer that is also the input embedding
    stays frozen. Raises UnusableInput if the model has fewer than `number` layers."""
    found = layers_of(model)
    if found is None:
        raise UnusableInput(
            f"num_layers_unfrozen is set, but the layers of {type(model).__name__} can't be identified. "
            "Leave it empty to train all weights"
        )
    parent, place = found
    stack, *after = list(parent.children())[place:]
    layers = list(stack.children())
    if number > len(layers):
        raise UnusableInput(
            f"num_layers_unfrozen is {number}, but {type(model).__name__} has {len(layers)} layers. Lower "
            "num_layers_unfrozen, or leave it empty to train all weights"
        )
    model.requires_grad_(False)
    for part in [*layers[-number:], *after]:
        part.requires_grad_(True)
    if is_classifier(model):
        for name in HEADS:
            if isinstance(head := getattr(model, name, None), nn.Module):
                head.requires_grad_(True)
        return
    output, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if output is not None and output.weight is not embedding.weight:
        output.requires_grad_(True)


def _opened(source: ModelSource, dtype: torch.dtype, device: torch.device | None) -> tuple[Any, Any, str]:
    """Return the model (with any adapter unmerged), its tokenizer, and the folder or hub name of its base
    model."""
    if not isinstance(source, Loaded):
        opened = open_generator(source, dtype=dtype, device=device)
        return opened.model, opened.tokenizer, opened.base
    refuse_tokens_without_embedding(type(source.model).__name__, *source)
    model: Any = source.model
    if not has_adapters(model) and lora.layers_with_adapters(model):
        raise UnusableInput(
            "an earlier run has added an adapter to the layers of this model in memory. Pass the folder of a "
            "model instead, or load the model again"
        )
    if has_adapters(model):
        return model, source.tokenizer, str(model.peft_config[lora.POLICY].base_model_name_or_path)
    return convert_weights(model, dtype), source.tokenizer, str(getattr(plain(model), "name_or_path", ""))


def _refuse_trained_biases(model: Any, source: ModelSource) -> None:
    """Raise Refused for an adapter whose training changed biases of the base model."""
    bias = model.peft_config[lora.POLICY].bias
    if bias != "none":
        raise biases_refused("in memory" if isinstance(source, Loaded) else f"at {str(source)!r}", bias)


def _train_only_matrices(model: Any) -> None:
    """Freeze everything except the matrices of the adapter in training, because the optimiser updates only
    these. The gradients of other weights would only use memory."""
    whole = [name for name, one in model.named_parameters() if one.requires_grad and ".lora_" not in name]
    if whole:
        logger.warning(
            "the adapter's modules_to_save are not trained, because only its LoRA matrices are trained "
            "further: %s",
            ", ".join(whole),
        )
    model.requires_grad_(False)
    for weight in lora.adapter_weights(model, lora.POLICY).values():
        weight.requires_grad_(True)


def _refuse_base(base: str, out_dir: str | Path) -> None:
    """Raise UnusableInput if an adapter can't be saved with this base model."""
    if not base:
        raise UnusableInput(
            "use_peft saves an adapter, which depends on the files of its base model, but the policy is a "
            "new model that was never saved. Save the policy and pass its folder, or set use_peft to false",
            FailureKind.BASE_MODEL_MISSING,
        )
    if Path(base).resolve() == Path(out_dir).resolve():
        raise UnusableInput(
            f"{out_dir} contains the adapter's base model, which is still needed. Save to another folder"
        )


def change_from_start(model: Any) -> dict[str, float]:
    """Return the metric `parameters/change`: the norm of the change in an adapter's weights since the start
    of training. The result is empty if all weights are trained, because the starting weights are then no
    longer in memory."""
    if not has_adapters(model):
        return {}
    return {"parameters/change": lora.adapter_change(model, lora.POLICY, lora.start_of(model))}


class Trained(NamedTuple):
    """The weights that a run trains: their number, and their names (`grouped`)."""

    parameters: int
    names: list[str]


def trained_weights(modules: Mapping[str, nn.Module]) -> Trained:
    """Return the trained weights of a run's modules, and write their number and names to the log."""
    sizes = {
        f"{part}.{name}".replace("/", "."): one.numel()
        for part, module in modules.items()
        for name, one in module.named_parameters()
        if one.requires_grad
    }
    found = Trained(sum(sizes.values()), grouped(sizes))
    logger.info("training %s parameters: %s", f"{found.parameters:,}", ", ".join(found.names))
    return found


def grouped(names: Iterable[str]) -> list[str]:
    """Join names that differ only in the number of the layer. ``layers.0.up.weight`` to
    ``layers.3.up.weight`` become ``layers.0-3.up.weight``. The result names the same weights, in the same
    order."""
    groups: dict[str, list[tuple[int, ...]]] = {}
    for name in names:
        numbers = tuple(int(number) for number in NUMBER.findall(name))
        groups.setdefault(NUMBER.sub("{}", name), []).append(numbers)
    found: list[str] = []
    for pattern, places in groups.items():
        columns = [sorted(set(column)) for column in zip(*places, strict=True)]
        if math.prod(map(len, columns)) == len(places):
            found.append(pattern.format(*map(_ranges, columns)))
        else:
            found += [pattern.format(*numbers) for numbers in places]
    return found


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as ranges, such as ``0-3,7``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, one)) for one in ranges)
