"""Read a model's settings and the shapes of its weights from the model's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.rlhf.models.checks.refusal import unreadable
from training.rlhf.models.files.adapters import CONFIG_FILE
from training.rlhf.models.files.headers import BrokenWeights, shapes_in_files
from training.rlhf.models.files.json_files import MAX_BYTES, BrokenFile, object_in

Shapes = Mapping[str, tuple[int, ...]]
State = tuple[tuple[str, int, int], ...]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# The types of the settings that the checks use.
EXPECTED: Mapping[str, type] = {
    **dict.fromkeys(("model_type", "tokenizer_class"), str),
    **dict.fromkeys(("vocab_size", "num_hidden_layers", "n_layer", "n_layers"), int),
    **dict.fromkeys(("max_position_embeddings", "n_positions"), int),
    **dict.fromkeys(("text_config", "quantization_config"), dict),
    "architectures": list,
}
WRONG = {str: "not text", int: "not a whole number", dict: "not an object", list: "not a list"}


def config_in(folder: Path) -> dict[str, Any]:
    """Return the settings of a language model. In a multimodal model, the settings of the text part take
    precedence. Raises Refused."""
    config = read_json(folder, CONFIG_FILE)
    inner = config.get("text_config")
    merged = {**config, **inner} if isinstance(inner, dict) else config
    for name, kind in EXPECTED.items():
        if not isinstance(value := merged.get(name), kind | None):
            raise unreadable(folder, f"config.json has {name}={_shown(value)}, which is {WRONG[kind]}.")
    return merged


def number_in(config: Mapping[str, Any], *names: str) -> int:
    """Return the first of these settings that is a number, or 0 if none is."""
    numbers = (value for name in names if isinstance(value := config.get(name), int))
    return next((value for value in numbers if not isinstance(value, bool)), 0)


def weights_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights. Raises Refused if a file is missing or truncated."""
    names = [WEIGHTS]
    if (folder / INDEX).is_file():
        names = _listed(folder)
    elif not (folder / WEIGHTS).is_file():
        others = sorted(file.name for pattern in ("*.bin", "*.pt", "*.gguf") for file in folder.glob(pattern))
        found = f"the folder has only {others[0]}" if others else "the folder has no weights"
        raise unreadable(folder, f"{found}. Models are read from safetensors files only ({WEIGHTS}).")
    for name in names:
        if not os.path.isfile(folder / name):
            raise unreadable(folder, f"{INDEX} lists {name}, which is missing. Download the model again.")
    try:
        return shapes_in_files(folder / name for name in names)
    except BrokenWeights as error:
        raise unreadable(folder, f"{error}. Download or save the model again.") from error


def _listed(folder: Path) -> list[str]:
    """Return the names of the weight files that the index lists."""
    listed = read_json(folder, INDEX).get("weight_map")
    files = set(map(str, listed.values())) if isinstance(listed, dict) else set()
    if not files:
        raise unreadable(folder, f"{INDEX} lists no files in weight_map. Download the model again.")
    return sorted(files)


def read_json(folder: Path, name: str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return a JSON object. Raises Refused."""
    try:
        return object_in(folder / name, max_bytes=max_bytes)
    except BrokenFile as error:
        raise unreadable(folder, f"{error}.") from error


def optional_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON object; empty if there is no such file."""
    return read_json(folder, name) if os.path.isfile(folder / name) else {}


def state_of(folder: Path) -> State:
    """The names, sizes and modification times of the folder's files. The results of a check remain valid as
    long as none of these changes."""
    found: list[tuple[str, int, int]] = []
    try:
        for entry in os.scandir(folder):
            with suppress(OSError):  # deleted meanwhile
                if entry.is_file():
                    found.append((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns))
    except OSError:
        return ()
    return tuple(sorted(found))


def _shown(value: object) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:60]}…"
