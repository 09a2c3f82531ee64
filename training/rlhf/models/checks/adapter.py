"""Check whether a LoRA adapter is complete, suits its purpose and matches the shapes of its base model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.rlhf.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from training.rlhf.models.checks.files import Shapes, number_in, read_json
from training.rlhf.models.checks.refusal import Purpose, adapter_unusable, unreadable, wrong_kind
from training.rlhf.models.headers import BrokenWeights, shapes_in

PREFIX = "base_model.model."
MATRIX = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")
LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h)\.(\d+)\.")
# peft lists both possible heads of a classifier in modules_to_save, but a model has only one of the two.
HEADS = ("score", "classifier")
SCORES = "SEQ_CLS"  # peft's task type for a reward model
ANOTHER_BASE = (
    "The adapter was trained on another base model. Correct base_model_name_or_path in "
    f"{ADAPTER_CONFIG}, or use the model from which the adapter was trained."
)


def refuse_adapter(folder: Path, purpose: Purpose, *, config: Mapping[str, Any], weights: Shapes) -> None:
    """Raise Refused if the adapter in ``folder`` can't serve ``purpose`` on a base model with these settings
    and weights. The checks that need the base model are skipped if ``weights`` is empty."""
    settings = read_json(folder, ADAPTER_CONFIG)
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        raise unreadable(folder, f"{ADAPTER_WEIGHTS} is missing.")
    kind = settings.get("peft_type")
    if kind not in (None, "LORA"):
        raise wrong_kind(folder, f"it is an adapter of type {kind}, not LORA.")
    try:
        found = {name.removeprefix(PREFIX): shape for name, shape in shapes_in(file).items()}
    except BrokenWeights as error:
        raise unreadable(folder, f"{error}. Save the adapter again.") from error
    scores = settings.get("task_type") == SCORES or any(_is_in(head, found) for head in HEADS)
    if purpose == Purpose.POLICY and scores:
        raise wrong_kind(
            folder,
            "it is the adapter of a reward model, which scores a text and does not generate one. As a "
            "policy, use a causal language model.",
        )
    _refuse_missing_modules(folder, settings, found, weights)
    if weights:
        _refuse_other_shapes(folder, config, found, weights)
        if purpose == Purpose.REWARD_MODEL and not scores and not any(_is_in(h, weights) for h in HEADS):
            raise wrong_kind(
                folder,
                "neither the adapter nor its base model has a reward head (score.weight or "
                "classifier.weight). As a reward model, use the result of a reward_model run.",
            )


def _refuse_missing_modules(
    folder: Path, settings: Mapping[str, Any], found: Shapes, weights: Shapes
) -> None:
    """Refuse an adapter if its files lack a module that was trained with it, such as the reward head."""
    listed = [str(name) for name in settings.get("modules_to_save") or ()]
    heads = [name for name in listed if name in HEADS] or (
        list(HEADS) if settings.get("task_type") == SCORES else []
    )
    if heads and not any(_is_in(name, found) for name in heads):
        raise adapter_unusable(
            folder,
            f"{ADAPTER_WEIGHTS} has no weights for {' or '.join(heads)}, the reward head that was trained "
            'with the adapter. Save the adapter with modules_to_save=["score"] ("classifier" for an '
            "encoder), or train the reward model again.",
        )
    for name in listed:
        if name not in HEADS and _is_in(name, weights) and not _is_in(name, found):
            raise adapter_unusable(
                folder,
                f"{ADAPTER_CONFIG} lists {name} in modules_to_save, but {ADAPTER_WEIGHTS} has no weights for "
                "it. Save the adapter again together with this module.",
            )


def _refuse_other_shapes(folder: Path, config: Mapping[str, Any], found: Shapes, weights: Shapes) -> None:
    layers = number_in(config, "num_hidden_layers", "n_layer", "n_layers")
    for name, shape in found.items():
        if layers and (layer := LAYER.search(name)) and int(layer[1]) >= layers:
            raise adapter_unusable(
                folder,
                f"it has weights for layer {layer[1]} ({name}), but the base model has {layers} layers, "
                f"numbered from 0. {ANOTHER_BASE}",
            )
        whole = _of_base(name, weights)
        if ".lora_" not in name and whole is not None and whole != shape:
            raise adapter_unusable(
                folder,
                f"{name} has the shape {_size(shape)}, but its shape in the base model is {_size(whole)}. "
                f"{ANOTHER_BASE}",
            )
    adapted = dict(_adapted(found))
    wholes = {module: _of_base(f"{module}.weight", weights) for module in adapted}
    if adapted and not any(wholes.values()):
        raise adapter_unusable(
            folder,
            "the base model has none of the modules that the adapter changes, for example "
            f"{next(iter(adapted))}. {ANOTHER_BASE}",
        )
    for module, shape in adapted.items():
        whole = wholes[module]
        # GPT-2 stores its matrices transposed.
        if whole is not None and len(whole) == 2 and sorted(whole) != sorted(shape):
            raise adapter_unusable(
                folder,
                f"it was trained for {module} with {_size(shape)} weights, but the base model's are "
                f"{_size(whole)}. {ANOTHER_BASE}",
            )


def _adapted(found: Shapes) -> Iterator[tuple[str, tuple[int, int]]]:
    """The shape of each adapted matrix: the outputs of B by the inputs of A."""
    for name, shape in found.items():
        match = MATRIX.match(name)
        if match and match["side"] == "A" and len(shape) == 2:
            other = found.get(f"{match['module']}.lora_B.weight")
            if other is not None and len(other) == 2:
                yield match["module"], (other[0], shape[1])


def _of_base(name: str, weights: Shapes) -> tuple[int, ...] | None:
    """The shape of the base model's weight with this name, or None. In the base model, the name is shorter if
    the trunk was saved without its head, and longer if the model is multimodal."""
    parts = name.split(".")
    for start in range(len(parts) - 1):
        if (shape := weights.get(".".join(parts[start:]))) is not None:
            return shape
    return next((shape for other, shape in weights.items() if other.endswith(f".{name}")), None)


def _is_in(module: str, names: Shapes) -> bool:
    return any(f".{module}." in f".{name}" for name in names)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
