"""Inspect folders that contain a LoRA adapter, and locate the adapter's base model. This module does not
import torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from training.rlhf.models.files.json_files import BrokenFile, object_in

CONFIG_FILE = "config.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# The file in an adapter's folder for the metadata that would be in the config.json of a complete model. If an
# adapter's folder contained a config.json, transformers would treat the folder as a complete model and would
# look for weights that do not exist.
ADAPTER_NOTES = "rankloop.json"
# The key in ADAPTER_NOTES under which the base model's digest is stored (`lora.base_digest`).
BASE_DIGEST = "base_digest"
# The subfolder of a reward model's folder for the uncertainty estimate. Each member of a LoRA ensemble is an
# adapter in a subfolder of UNCERTAINTY.
UNCERTAINTY, MEMBER = "uncertainty", "member-{}"


class BrokenAdapter(ValueError):
    """Raised if the adapter's configuration cannot be read or does not name its base model."""


def is_adapter(folder: str | Path) -> bool:
    return _is_file(folder, ADAPTER_CONFIG) and not _is_file(folder, CONFIG_FILE)


def holds_model(folder: str | Path) -> bool:
    """Return whether the folder contains a model, either a complete one or an adapter."""
    return _is_file(folder, CONFIG_FILE) or is_adapter(folder)


def missing_base(folder: str | Path) -> str:
    """Return the path of a missing base model that the model in ``folder`` needs. If no base model is
    missing, return an empty string.

    An adapter needs its base model. An ensemble's members are adapters, so an ensemble needs a base model
    even if the reward model itself is complete. A base model identified by a hub name is assumed to be
    available. Raises BrokenAdapter.
    """
    place = Path(folder)
    adapters = [place] if is_adapter(place) else []
    for one in [*adapters, *(place / UNCERTAINTY).glob(MEMBER.format("*"))]:
        base = base_of(one)
        if looks_like_path(base) and not holds_model(base):
            return base
    return ""


def looks_like_path(name: str) -> bool:
    """Return whether ``name`` is a path. A hub name is `name` or `owner/name`. The hub is never queried for
    other names, because such a query can only fail."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or os.path.exists(name)


def lasting_name(base: str) -> str:
    """Return a name for the base model that is valid in every working directory. The name is either the
    absolute path of a folder or the hub name."""
    return str(Path(base).absolute()) if os.path.isdir(base) else base


def base_of(folder: str | Path) -> str:
    """Return the folder or hub name of the adapter's base model. Raises BrokenAdapter.

    If the base model's folder no longer exists, a folder of the same name beside the adapter's folder is
    used. Models are stored side by side, so a base model that was moved together with its adapter is still
    found. For an ensemble member, the search covers the folders beside the reward model that contains the
    member.
    """
    place = Path(folder)
    try:
        base = object_in(place / ADAPTER_CONFIG).get("base_model_name_or_path")
    except BrokenFile as error:
        raise BrokenAdapter(f"{error} (in {place})") from error
    if not isinstance(base, str) or not base:
        raise BrokenAdapter(
            f"{ADAPTER_CONFIG} in {place} does not name the model that the adapter was trained on: set "
            "base_model_name_or_path"
        )
    models = place.absolute().parent
    if models.name == UNCERTAINTY:
        models = models.parent.parent
    beside = models / Path(base).name
    moved = looks_like_path(base) and not os.path.isdir(base) and os.path.isdir(beside)
    return str(beside) if moved else base


def notes_of(folder: Path) -> dict[str, Any]:
    """Return the metadata that was saved with the adapter, or an empty dictionary if another tool saved
    it."""
    file = folder / ADAPTER_NOTES
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def _is_file(folder: str | Path, name: str) -> bool:
    """Return whether the file exists. If the path is too long, os.path.isfile returns False, whereas
    Path.is_file raises OSError."""
    return os.path.isfile(os.path.join(folder, name))
