"""Functions that save a tiny model and break its files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tests.training.rlhf import tiny
from training.rlhf.models.loading.saving import save_model


def saved(folder: Path, *, template: str = "", **changes: Any) -> Path:
    """Save a tiny policy in ``folder``, with this chat template and these changes to its configuration."""
    words = tiny.tokenizer()
    words.chat_template = template or None
    return save_model(tiny.policy(**({"max_position_embeddings": 512} | changes)), words, folder)


def edit_json(folder: Path, name: str = "config.json", **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def drop_weights(file: Path, part: str) -> None:
    kept = {name: weights for name, weights in load_file(file).items() if part not in name}
    assert len(kept) < len(load_file(file)), part
    save_file(kept, file, metadata={"format": "pt"})


def copy_of(folder: Path, where: Path) -> Path:
    return Path(shutil.copytree(folder, where))


def move_adapter(adapter: Path, base: Path) -> Path:
    """Write the path of another base model to the adapter's settings."""
    edit_json(adapter, "adapter_config.json", base_model_name_or_path=str(base))
    return adapter
