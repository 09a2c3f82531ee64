"""Folders that hold a LoRA adapter, and where the model is that it was trained on. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path

CONFIG_FILE = "config.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# What a whole model keeps in its config.json. A folder with an adapter must not have one: transformers takes
# it for a whole model then, and looks for weights that aren't there.
ADAPTER_NOTES = "rankloop.json"
# Where what a reward model doubts lies in its folder. The members of a LoRA ensemble are adapters themselves.
UNCERTAINTY, MEMBER = "uncertainty", "member-{}"


class BrokenAdapter(ValueError):
    """The adapter's configuration can't be read, or doesn't say what it was trained on."""


def is_adapter(folder: str | Path) -> bool:
    return (Path(folder) / ADAPTER_CONFIG).is_file() and not (Path(folder) / CONFIG_FILE).is_file()


def holds_model(folder: str | Path) -> bool:
    """Whether a whole model or an adapter lies there."""
    return (Path(folder) / CONFIG_FILE).is_file() or is_adapter(folder)


def missing_base(folder: str | Path) -> str:
    """The folder of a model that what lies in ``folder`` needs, where there is none; empty where all is
    there, or where the hub has it. An adapter needs its base, and so do the members of an ensemble, which
    change one also where the reward model is whole. Raises BrokenAdapter."""
    place = Path(folder)
    adapters = [place] if is_adapter(place) else []
    for one in [*adapters, *(place / UNCERTAINTY).glob(MEMBER.format("*"))]:
        base = base_of(one)
        if looks_like_path(base) and not holds_model(base):
            return base
    return ""


def looks_like_path(name: str) -> bool:
    """A hub name is `name` or `owner/name`; anything else is a path, and asking the hub for it would only
    take time."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).exists()


def lasting_name(base: str) -> str:
    """By which a base is found from anywhere: a folder's whole path, or the hub's name."""
    return str(Path(base).absolute()) if Path(base).is_dir() else base


def base_of(folder: str | Path) -> str:
    """The folder or hub name of the model that the adapter in ``folder`` changes. Raises BrokenAdapter.

    A folder that is no longer where the adapter says is looked for beside the adapter, by its name: models
    lie side by side, so those that moved together still find one another. For a member of an ensemble that
    is beside the reward model whose folder it lies in.
    """
    place = Path(folder)
    try:
        config = json.loads((place / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        base = config["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BrokenAdapter(f"{ADAPTER_CONFIG} in {place} can't be read: {error!r}") from error
    if not isinstance(base, str) or not base:
        raise BrokenAdapter(
            f"{ADAPTER_CONFIG} in {place} doesn't say what the adapter was trained on: set its "
            "base_model_name_or_path"
        )
    models = place.absolute().parent
    if models.name == UNCERTAINTY:
        models = models.parent.parent
    beside = models / Path(base).name
    moved = looks_like_path(base) and not Path(base).is_dir() and beside.is_dir()
    return str(beside) if moved else base
