"""Models in and out of a folder: safetensors only, remote code never, and never half a model on disk."""

import contextlib
import copy
import json
import os
import re
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
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.models import adapters, chat, trunks

HUB_TIMEOUT_S = 5.0
# What the hub's client writes when it got no answer.
UNREACHABLE = re.compile(
    r"couldn't connect|offline|local cache|cached files|outgoing|timed? ?out|name resolution|connection",
    re.IGNORECASE,
)


class ModelNotFound(RunFailure):
    """There is no such folder, and the name can't be fetched from the hub either; or what is there is no
    model that can be used."""

    kind = FailureKind.MODEL_UNREADABLE


class Loaded(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Opened(NamedTuple):
    """A classifier as its folder has it, an adapter still beside its base.

    ``new`` names the weights that no file had, so that they are random: none, or those of the head and what
    belongs to it. ``base`` is where a whole model was read from, for an adapter what it was trained on.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    new: list[str]
    base: str


# What loops take: a folder or hub name, or a model that is already in memory (which they then
# change in place).
ModelSource: TypeAlias = str | Path | Loaded


def open_policy(source: ModelSource) -> Loaded:
    return source if isinstance(source, Loaded) else load_policy(source)


def open_reward_model(source: ModelSource) -> Loaded:
    if isinstance(source, Loaded):
        return Loaded(merged(source.model), source.tokenizer)
    return load_reward_model(source)


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_policy(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """A causal language model and its tokenizer, in eval mode (no dropout), from a folder or a hub name. A
    LoRA adapter is merged into its base."""
    opened = _load(AutoModelForCausalLM, path_or_hub, dtype, device)
    if opened.new:
        raise _wrong_kind(str(path_or_hub), opened.new)
    if opened.tokenizer.pad_token_id is None:
        opened.tokenizer.pad_token = opened.tokenizer.eos_token
    opened.model.config.pad_token_id = chat.pad_id(opened.tokenizer)
    return Loaded(_fold(opened.model), opened.tokenizer)


def load_reward_model(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """A sequence classifier with one output and its tokenizer, in eval mode. A LoRA adapter is merged into
    its base.

    Weights that no file has are an error: a random head would score noise and nobody would notice.
    """
    opened = open_classifier(path_or_hub, dtype=dtype, device=device)
    if opened.new:
        raise _wrong_kind(str(path_or_hub), opened.new)
    return Loaded(_fold(opened.model), opened.tokenizer)


def open_classifier(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Opened:
    """A sequence classifier with one output, from a causal language model or an encoder (its head is then
    random: transformers' initialisation), from a reward model, or from an adapter of one. Raises
    ModelNotFound.

    Plain ``AutoModelForSequenceClassification`` reads the last token that differs from ``pad_token_id``. With
    pad == EOS it would skip the EOS that a new reward model is to be read at, so that gets another pad token.
    One that was trained elsewhere keeps its own, and is read where it was when it was trained.
    """
    opened = _load(AutoModelForSequenceClassification, path_or_hub, dtype, device)
    model, tokenizer = trunks.plain(opened.model), opened.tokenizer
    trunk = f"{model.base_model_prefix}."
    if inside := [key for key in opened.new if key.startswith(trunk) and ".pooler." not in key]:
        raise _wrong_kind(str(path_or_hub), inside)
    try:
        trunks.head_of(opened.model)
    except trunks.NoRewardModel as error:
        raise ModelNotFound(
            f"{str(path_or_hub)!r} is not the kind of model asked for: {error}.",
            FailureKind.WRONG_KIND_OF_MODEL,
        ) from error
    config = model.config.get_text_config()
    if opened.new or config.pad_token_id is None:
        if chat.pad_id(tokenizer) == chat.eos_id(tokenizer):
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.pad_token = chat.pad_other_than_eos(tokenizer)
        config.pad_token_id = chat.pad_id(tokenizer)
    return opened._replace(tokenizer=tokenizer)


def save_model(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    out_dir: str | Path,
    *,
    merge: bool = True,
    add: Callable[[Path], None] | None = None,
) -> Path:
    """Write model and tokenizer as one folder that plain `AutoModel…from_pretrained` reads; return the
    folder.

    All files are written beside `out_dir` and renamed into place at the end, so a crash leaves either the
    whole model or none (a retry replaces an older one of the same name). ``add`` is given the folder to write
    what else belongs to the model. LoRA adapters are merged into a copy of their trunk; with ``merge=False``
    the folder holds the adapter alone and the name of its base, as peft reads it.
    """
    out = Path(out_dir)
    out.parent.mkdir(parents=True, exist_ok=True)
    for leftover in out.parent.glob(f".{out.name}.partial-*"):  # of an attempt that was killed while it wrote
        shutil.rmtree(leftover, ignore_errors=True)
    partial = out.parent / f".{out.name}.partial-{uuid.uuid4().hex}"
    try:
        if trunks.has_adapters(model) and not merge:
            _write_adapter(model, partial)
        else:
            whole = merged(model)
            if whole.config.get_text_config().pad_token_id is None:
                whole.config.get_text_config().pad_token_id = chat.pad_id(tokenizer)
            whole.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if add is not None:
            add(partial)
        _replace_folder(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def merged(model: Any) -> Any:
    """A model without adapters. Merging works on a copy: merging and unmerging in place drifts the trunk."""
    return _fold(copy.deepcopy(model)) if trunks.has_adapters(model) else model


def _fold(model: Any) -> Any:
    """Merge adapters into the very model. All of it may then learn again."""
    return model.merge_and_unload().requires_grad_(True) if trunks.has_adapters(model) else model


def _write_adapter(model: Any, folder: Path) -> None:
    """The adapter with the head, and what a whole model keeps in its config.json."""
    # False: the trunk's embeddings stay with the base, and nobody has to ask the hub whether they grew.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink()  # peft's form of a model card, not filled in
    config = trunks.plain(model).config
    notes = {"num_labels": 1, "pad_token_id": config.get_text_config().pad_token_id}
    notes["rankloop"] = getattr(config, "rankloop", {})
    (folder / adapters.ADAPTER_NOTES).write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")


def _replace_folder(new: Path, out: Path) -> None:
    """Rename `new` to `out`; a folder that is already there is moved aside first and deleted last."""
    old = out.parent / f".{out.name}.partial-{uuid.uuid4().hex}"
    with contextlib.suppress(FileNotFoundError):
        os.rename(out, old)
    os.rename(new, out)
    shutil.rmtree(old, ignore_errors=True)


def _load(
    auto_class: Any, path_or_hub: str | Path, dtype: torch.dtype, device: torch.device | None
) -> Opened:
    name = str(path_or_hub)
    _refuse_missing_folder(name)
    local_only = Path(name).is_dir() or not _hub_answers()
    reading = {"trust_remote_code": False, "local_files_only": local_only}
    try:
        adapter = _adapter_folder(name, local_only)
        base = _base(adapter) if adapter else name
        tokenizer = _tokenizer(adapter, base, reading)
        settings = _settings(auto_class, base, adapter, tokenizer, reading)
        model, info = auto_class.from_pretrained(
            base, config=settings, dtype=dtype, use_safetensors=True, output_loading_info=True, **reading
        )
        new = sorted(info["missing_keys"])
        if adapter:
            model, new = _with_adapter(model, adapter, new)
            # Where it is now: an adapter made of this one by training must find it, wherever it is saved.
            model.active_peft_config.base_model_name_or_path = adapters.lasting_name(base)
    except (ModelNotFound, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # what a damaged file makes of its reader is anybody's guess
        if not isinstance(error, OSError) and not Path(name).is_dir():
            raise
        raise _not_found(name, error, asked_hub=not local_only) from error
    _refuse_broken_numbers(name, model)
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise ModelNotFound(
            f"The tokenizer of {name!r} has no EOS token, so an answer would have no end. Set its eos_token "
            "and save it beside the model again."
        )
    return Opened(model.to(device or default_device()).eval(), tokenizer, new, base)


def _adapter_folder(name: str, local_only: bool) -> Path | None:
    """Where an adapter's files lie, those of the hub fetched; None for a whole model."""
    if Path(name).is_dir():
        return Path(name) if adapters.is_adapter(name) else None
    absent: dict[str, Any] = {
        "local_files_only": local_only,
        "_raise_exceptions_for_missing_entries": False,
        "_raise_exceptions_for_connection_errors": False,
        "_raise_exceptions_for_gated_repo": False,
    }
    if cached_file(name, adapters.ADAPTER_CONFIG, **absent) is None:
        return None
    cached_file(name, adapters.ADAPTER_NOTES, **absent)
    weights = cached_file(name, adapters.ADAPTER_WEIGHTS, local_files_only=local_only)
    return Path(str(weights)).parent


def _base(adapter: Path) -> str:
    if not (adapter / adapters.ADAPTER_WEIGHTS).is_file():
        raise ModelNotFound(f"No loadable model at {str(adapter)!r}: {adapters.ADAPTER_WEIGHTS} is missing.")
    base = adapters.base_of(adapter)
    if gone := adapters.missing_base(adapter):
        raise ModelNotFound(
            f"{str(adapter)!r} is an adapter: it changes the model at {gone!r}, and the weights of that one "
            f"are gone. Put that folder back, or beside the adapter's, or correct base_model_name_or_path in "
            f"{adapters.ADAPTER_CONFIG}.",
            FailureKind.ADAPTER_BASE_GONE,
        )
    if adapters.is_adapter(base):
        raise ModelNotFound(
            f"{str(adapter)!r} is an adapter of an adapter ({base!r}). Merge the latter first: load it and "
            "save it as a whole model."
        )
    return base


def _tokenizer(adapter: Path | None, base: str, reading: dict[str, Any]) -> PreTrainedTokenizerBase:
    own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(adapter if own else base, **reading)
    return tokenizer


def _settings(
    auto_class: Any,
    base: str,
    adapter: Path | None,
    tokenizer: PreTrainedTokenizerBase,
    reading: dict[str, Any],
) -> Any:
    """The configuration to load with. Raises ModelNotFound for an architecture that can't be used."""
    config = AutoConfig.from_pretrained(base, **reading)
    scoring = auto_class is AutoModelForSequenceClassification
    known = any(type(one) in auto_class._model_mapping for one in (config, config.get_text_config()))
    if not known or (scoring and config.is_encoder_decoder):
        wanted = "a causal language model" + (" nor an encoder" if scoring else "")
        raise ModelNotFound(
            f"{base!r} is not the kind of model asked for: {config.model_type} is "
            f"{'neither' if scoring else 'not'} {wanted}. Take one of those.",
            FailureKind.WRONG_KIND_OF_MODEL,
        )
    if not scoring:
        return config
    stored = (config.architectures or [""])[0].endswith("ForSequenceClassification")
    if stored and config.num_labels != 1:
        raise ModelNotFound(
            f"{base!r} is not the kind of model asked for: it sorts texts into {config.num_labels} classes, "
            "and a reward model has one output. Take the language model that it was made of.",
            FailureKind.WRONG_KIND_OF_MODEL,
        )
    config.num_labels = 1
    if adapter and (notes := adapter / adapters.ADAPTER_NOTES).is_file():
        said = json.loads(notes.read_text(encoding="utf-8"))
        config.rankloop, config.get_text_config().pad_token_id = said["rankloop"], said["pad_token_id"]
    elif adapter and tokenizer.pad_token_id is not None:
        # Trainers take the tokenizer's pad for the model's, and an adapter's folder doesn't say it again.
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return config


def _with_adapter(model: Any, folder: Path, new: list[str]) -> tuple[Any, list[str]]:
    """The model with the adapter in ``folder`` on it, and those of the ``new`` weights that it lacks as
    well."""
    from peft import PeftConfig, PeftModel, PeftType, get_peft_model_state_dict
    from safetensors import safe_open

    kind = PeftConfig.from_pretrained(str(folder)).peft_type
    if kind != PeftType.LORA:
        raise ModelNotFound(
            f"{str(folder)!r} is not the kind of model asked for: its adapter is {kind}, not LORA.",
            FailureKind.WRONG_KIND_OF_MODEL,
        )
    with safe_open(folder / adapters.ADAPTER_WEIGHTS, framework="pt") as file:
        found = set(file.keys())
    adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    supplied = {key.removeprefix("base_model.model.") for key in found}
    still_new = [key for key in new if key not in supplied]
    lacking = sorted(wanted - found)
    # A head that the adapter wasn't saved with may be the base's own; LoRA's matrices are nobody else's.
    if lost := [key for key in lacking if ".lora_" in key]:
        raise ModelNotFound(
            f"No loadable model at {str(folder)!r}: it has no weights for {', '.join(lost[:5])}."
        )
    return adapted, still_new


def _refuse_broken_numbers(name: str, model: Any) -> None:
    for key, weights in model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise ModelNotFound(
                f"No loadable model at {name!r}: {key} holds numbers that are NaN or infinite, so every "
                "score would be. Take an earlier checkpoint, from before its training diverged."
            )


def _wrong_kind(name: str, missing: list[str]) -> ModelNotFound:
    return ModelNotFound(
        f"{name!r} is not the kind of model asked for: it has no weights for {', '.join(missing[:5])}. "
        "A reward model is made by a reward_model run; a policy is a causal language model.",
        FailureKind.WRONG_KIND_OF_MODEL,
    )


def _refuse_missing_folder(name: str) -> None:
    path = Path(name)
    if adapters.looks_like_path(name) and not adapters.holds_model(path):
        what = "has no config.json" if path.is_dir() else "is not a folder on this machine"
        raise ModelNotFound(
            f"No model at {name!r}: it {what}. Give a folder that holds config.json and model.safetensors, "
            "or a name from the Hugging Face hub such as Qwen/Qwen3-0.6B.",
            FailureKind.BASE_MODEL_MISSING,
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


def _not_found(name: str, error: Exception, *, asked_hub: bool) -> ModelNotFound:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if Path(name).is_dir():
        return ModelNotFound(
            f"No loadable model at {name!r}: {reason} Models are read from safetensors files only."
        )
    unreachable = not asked_hub or UNREACHABLE.search(reason)
    return ModelNotFound(
        f"No model {name!r}: it is not a folder on this machine, and the Hugging Face hub did not give it "
        f"({reason}). Check the name, or download it elsewhere and give the path of its folder.",
        FailureKind.HUB_UNREACHABLE if unreachable else FailureKind.HUB_UNKNOWN_NAME,
    )
