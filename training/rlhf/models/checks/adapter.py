"""Check whether a LoRA adapter is complete, suits its purpose and matches the shapes of its base model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.files import Shapes, number_in, read_json
from training.rlhf.models.checks.layers import Place, layers_in, place_of
from training.rlhf.models.checks.refusal import Purpose, Refused, adapter_unusable, unreadable, wrong_kind
from training.rlhf.models.files.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, BASE_DIGEST, notes_of
from training.rlhf.models.files.headers import BrokenWeights, shapes_in

PREFIX = "base_model.model."
MATRIX = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])\.weight$")
# The embeddings and the output layer, which have one row for each token.
VOCABULARY = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in|word_embeddings|lm_head|embed_out)\.")
# peft lists both possible heads of a classifier in modules_to_save, but a model has only one of the two.
HEADS = ("score", "classifier")
SCORES = "SEQ_CLS"  # peft's task type for a reward model
ANOTHER_BASE = (
    "The adapter was trained on a different base model. Correct base_model_name_or_path in "
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
    if not _is_list_of_names(settings.get("modules_to_save")):
        raise unreadable(folder, f"modules_to_save in {ADAPTER_CONFIG} is not a list of names.")
    scores = settings.get("task_type") == SCORES or any(_is_in(head, found) for head in HEADS)
    if purpose == Purpose.POLICY and scores:
        raise wrong_kind(
            folder,
            "it is the adapter of a reward model, which scores text and can't generate text. As a "
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


def refuse_biases(folder: Path) -> None:
    """Raise Refused if the adapter can't be trained further because of its biases."""
    bias = read_json(folder, ADAPTER_CONFIG).get("bias", "none")
    if bias != "none":
        raise biases_refused(f"at {str(folder)!r}", bias)


def biases_refused(adapter: str, bias: object) -> Refused:
    """Return the exception that refuses an adapter whose training changed biases of the base model. peft
    can't add a second adapter to such a model."""
    return Refused(
        f"the adapter {adapter} can't be trained further, because it was trained with bias={bias!r} and "
        "also contains biases of its base model. Set use_peft to false to train the merged model, or "
        "start from an adapter with bias='none'",
        FailureKind.ADAPTER_DOES_NOT_FIT,
    )


def refuse_other_base(folder: Path, digest: str, base: str) -> None:
    """Raise Refused if the base model's weights are not those with which the adapter was trained. Adapters
    from other tools or from earlier versions of Rankloop contain no digest, so they are not checked."""
    recorded = notes_of(folder).get(BASE_DIGEST)
    if recorded and digest and recorded != digest:
        raise adapter_unusable(
            folder,
            f"the weights of its base model at {base} are not those with which it was trained. Restore the "
            f"base model, or correct base_model_name_or_path in {ADAPTER_CONFIG}.",
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
    _refuse_other_layers(folder, config, found, weights)
    base = _Base(weights)
    for name, shape in found.items():
        wholes = base.shapes_of(name)
        if ".lora_" not in name and wholes and shape not in wholes:
            raise adapter_unusable(
                folder,
                f"{name} has the shape {_size(shape)}, but its shape in the base model is "
                f"{_size(wholes[0])}. "
                f"{_fix(name, shape, wholes[0])}",
            )
    adapted = dict(_adapted(found))
    stored = {module: base.shapes_of(f"{module}.weight") for module in adapted}
    # transformers renames many weights of multimodal models, so the names of their modules are not compared
    # here. The package `loading` compares them after it has loaded the model.
    if adapted and not any(stored.values()) and not config.get("text_config"):
        raise adapter_unusable(
            folder,
            "the base model has none of the modules that the adapter changes, for example "
            f"{next(iter(adapted))}. {ANOTHER_BASE}",
        )
    for module, shape in adapted.items():
        wholes = [whole for whole in stored[module] if len(whole) == 2]
        # GPT-2 stores its matrices transposed.
        if wholes and sorted(shape) not in map(sorted, wholes):
            raise adapter_unusable(
                folder,
                f"it was trained for {module} with {_size(shape)} weights, but in the base model, this "
                f"module has {_size(wholes[0])} weights. {ANOTHER_BASE}",
            )


def _refuse_other_layers(folder: Path, config: Mapping[str, Any], found: Shapes, weights: Shapes) -> None:
    """Refuse an adapter with a layer that the base model does not have. peft ignores such layers."""
    stored = {tower: max(numbers) + 1 for tower, numbers in layers_in(weights).items()}
    if layers := number_in(config, "num_hidden_layers", "n_layer", "n_layers"):
        stored[""] = layers
    for name in found:
        place = place_of(name)
        if place and place.number >= stored.get(place.tower, place.number + 1):
            tower = f"{place.tower} layers" if place.tower else "layers"
            raise adapter_unusable(
                folder,
                f"it has weights for layer {place.number} ({name}), but the base model has "
                f"{stored[place.tower]} {tower}, numbered from 0. {ANOTHER_BASE}",
            )


def _fix(name: str, shape: tuple[int, ...], whole: tuple[int, ...]) -> str:
    if VOCABULARY.search(name) and shape[1:] == whole[1:]:
        return (
            "The adapter was trained after the base model's embeddings were resized. Call "
            f"model.resize_token_embeddings({shape[0]}) on the base model and save it with the adapter's "
            "tokenizer, or merge the adapter into the resized base model and use the merged model."
        )
    return ANOTHER_BASE


def _adapted(found: Shapes) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the name of each adapted module and the shape of its matrix: (outputs of B, inputs of A)."""
    for name, shape in found.items():
        match = MATRIX.match(name)
        if match and match["side"] == "A" and len(shape) == 2:
            other = found.get(f"{match['module']}.lora_B.weight")
            if other is not None and len(other) == 2:
                yield match["module"], (other[0], shape[1])


class _Base:
    """The weights of a base model, which can be looked up by the names in the adapter's files."""

    def __init__(self, weights: Shapes) -> None:
        self._weights = weights
        self._in_layers: dict[Place, list[tuple[int, ...]]] = {}
        for name, shape in weights.items():
            if place := place_of(name):
                self._in_layers.setdefault(place, []).append(shape)

    def shapes_of(self, name: str) -> list[tuple[int, ...]]:
        """The shapes of the weights that can have this name in the loaded model. Weights in a layer are found
        by the part of their names that starts at the layer. Weights outside the layers have shorter names in
        a trunk that was saved without its head, and longer names in a multimodal model."""
        if place := place_of(name):
            return self._in_layers.get(place, [])
        parts = name.split(".")
        for start in range(len(parts) - 1):
            if (shape := self._weights.get(".".join(parts[start:]))) is not None:
                return [shape]
        return [shape for other, shape in self._weights.items() if other.endswith(f".{name}")]


def _is_list_of_names(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _is_in(module: str, names: Shapes) -> bool:
    return any(f".{module}." in f".{name}" for name in names)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
