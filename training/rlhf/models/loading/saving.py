"""Save models as safetensors files, and never leave a partial model on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from storage import durable
from training.rlhf.core import distributed
from training.rlhf.models.files import adapters
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.parts import lora, trunks
from training.rlhf.models.tokens import chat


def save_model(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    out_dir: str | Path,
    *,
    merge: bool = True,
    add: Callable[[Path], None] | None = None,
) -> Path:
    """Write a model and its tokenizer to one folder, which plain `AutoModel…from_pretrained` can load. Return
    the folder.

    All files are written to a temporary folder beside `out_dir`. This folder is then synced to disk and
    renamed. A crash therefore leaves either the complete new model or the previous content of `out_dir`.
    ``add`` is called with the temporary folder, to which it can write additional files. LoRA adapters are
    merged into a copy of their trunk. With ``merge=False``, the folder contains only the adapter and the name
    of its base, in peft's format. Raises DiskFull.
    """
    out = Path(out_dir)
    durable.make_folders(out.parent)
    adapter_only = trunks.has_adapters(model) and not merge
    needed = None if adapter_only else sum(tensor.nbytes for tensor in model.parameters())
    with durable.replacing(out, needed=needed) as partial:
        if adapter_only:
            _write_adapter(model, partial)
        else:
            whole = lora.merged(model)
            if whole.config.get_text_config().pad_token_id is None:
                whole.config.get_text_config().pad_token_id = chat.pad_id(tokenizer)
            whole.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if add is not None:
            add(partial)
    return out


def save_trained(model: Any, tokenizer: PreTrainedTokenizerBase, out_dir: str | Path) -> None:
    """Save a model at the end of its training. An adapter is not merged. With several processes, the first
    process saves, and the others wait. A sharded model is first gathered in main memory by the first
    process."""
    with complete_model(model, only_first=True) as complete:
        if distributed.is_first():
            save_model(complete, tokenizer, out_dir, merge=False)
    distributed.wait()


def _write_adapter(model: Any, folder: Path) -> None:
    """Write the adapter, the head, and the metadata that a complete model would store in its config.json.
    Other adapters on the same trunk are not written."""
    # With `save_embedding_layers=False`, peft neither saves embeddings nor queries the hub for their size.
    model.save_pretrained(folder, save_embedding_layers=False, selected_adapters=[lora.POLICY])
    (folder / "README.md").unlink()  # the empty model card template that peft writes
    config = trunks.plain(model).config
    notes: dict[str, Any] = {"pad_token_id": config.get_text_config().pad_token_id}
    notes[adapters.BASE_DIGEST] = lora.base_digest(model)
    if trunks.is_classifier(model):
        notes |= {"num_labels": 1, "rankloop": getattr(config, "rankloop", {})}
    (folder / adapters.ADAPTER_NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
