"""Models in and out of a folder: safetensors only, remote code never, and never half a model on disk."""

import contextlib
import copy
import os
import shutil
import socket
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from huggingface_hub import constants as hub
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.rlhf import chat

HUB_TIMEOUT_S = 5.0


class ModelNotFound(Exception):
    """There is no such folder, and the name can't be fetched from the hub either."""


class Loaded(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


# What loops take: a folder or hub name, or a model that is already in memory (which they then
# change in place).
ModelSource: TypeAlias = str | Path | Loaded


def open_policy(source: ModelSource) -> Loaded:
    return source if isinstance(source, Loaded) else load_policy(source)


def open_reward_model(source: ModelSource) -> Loaded:
    return source if isinstance(source, Loaded) else load_reward_model(source)


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_policy(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """A causal language model and its tokenizer, in eval mode (no dropout), from a folder or a hub name."""
    return _load(AutoModelForCausalLM, path_or_hub, dtype, device)


def load_reward_model(
    path_or_hub: str | Path,
    *,
    new_head: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Loaded:
    """A sequence classifier with one output and its tokenizer, in eval mode.

    `new_head=True` starts a reward model from any language model's trunk; the head is then random
    (transformers' initialisation) and the caller re-initialises it. Without it a missing head is an error: a
    random head would score noise and nobody would notice.
    """
    return _load(
        AutoModelForSequenceClassification, path_or_hub, dtype, device, num_labels=1, new_head=new_head
    )


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    out_dir: str | Path,
    *,
    add: Callable[[Path], None] | None = None,
) -> Path:
    """Write model and tokenizer as one folder that plain `AutoModel…from_pretrained` reads; return the
    folder.

    All files are written beside `out_dir` and renamed into place at the end, so a crash leaves either the
    whole model or none (a retry replaces an older one of the same name). ``add`` is given the folder to write
    what else belongs to the model. LoRA adapters are merged into a copy of their trunk.
    """
    out = Path(out_dir)
    out.parent.mkdir(parents=True, exist_ok=True)
    for leftover in out.parent.glob(f".{out.name}.partial-*"):  # of an attempt that was killed while it wrote
        shutil.rmtree(leftover, ignore_errors=True)
    partial = out.parent / f".{out.name}.partial-{uuid.uuid4().hex}"
    try:
        whole = _merged(model)
        whole.config.pad_token_id = chat.pad_id(tokenizer)
        whole.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if add is not None:
            add(partial)
        _replace_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _replace_folder(new: Path, out: Path) -> None:
    """Rename `new` to `out`; a folder that is already there is moved aside first and deleted last."""
    old = out.parent / f".{out.name}.partial-{uuid.uuid4().hex}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(out, old)
    os.rename(new, out)
    shutil.rmtree(old, ignore_errors=True)


def _merged(model: Any) -> Any:
    """A model without adapters. Merging works on a copy: merging and unmerging in place drifts the trunk."""
    return copy.deepcopy(model).merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _load(
    auto_class: Any,
    path_or_hub: str | Path,
    dtype: torch.dtype,
    device: torch.device | None,
    *,
    new_head: bool = True,
    **kwargs: Any,
) -> Loaded:
    name = str(path_or_hub)
    _refuse_missing_folder(name)
    local_only = Path(name).is_dir() or not _hub_answers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, local_files_only=local_only)
        model, info = auto_class.from_pretrained(
            name,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local_only,
            output_loading_info=True,
            **kwargs,
        )
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError) and not Path(name).is_dir():
            raise
        raise ModelNotFound(_not_found(name, error)) from error
    missing = sorted(info["missing_keys"])
    if missing and not (new_head and all("score" in key or "classifier" in key for key in missing)):
        raise ModelNotFound(
            f"{name!r} is not the kind of model asked for: it has no weights for {', '.join(missing[:5])}. "
            "A reward model is made by a reward_model run; a policy is a causal language model."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = chat.pad_id(tokenizer)
    return Loaded(model.to(device or default_device()).eval(), tokenizer)


def _refuse_missing_folder(name: str) -> None:
    """A hub name is `name` or `owner/name`; anything else is a path, and asking the hub for it would only
    take time."""
    path = Path(name)
    looks_like_path = name.startswith(("/", ".", "~")) or name.count("/") > 1 or path.exists()
    if looks_like_path and not (path / "config.json").is_file():
        what = "has no config.json" if path.is_dir() else "is not a folder on this machine"
        raise ModelNotFound(
            f"No model at {name!r}: it {what}. Give a folder that holds config.json and model.safetensors, "
            "or a name from the Hugging Face hub such as Qwen/Qwen3-0.6B."
        )


def _hub_answers() -> bool:
    """Whether the hub takes connections. The hub client itself retries for 46 s (measured) before it gives
    up; one look beforehand turns that into at most `HUB_TIMEOUT_S`. Behind a proxy we can't look, so the
    client has to."""
    if hub.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies().get("https"):
        return True
    address = urllib.parse.urlsplit(hub.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=HUB_TIMEOUT_S):
            return True
    except OSError:
        return False


def _not_found(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:300]
    if Path(name).is_dir():
        return f"No loadable model at {name!r}: {reason} Models are read from safetensors files only."
    return (
        f"No model {name!r}: it is not a folder on this machine, and the Hugging Face hub did not give it "
        f"({reason}). Check the name, or download it elsewhere and give the path of its folder."
    )
