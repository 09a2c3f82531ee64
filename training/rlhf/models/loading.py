"""Loading and saving models: safetensors only, never remote code, and never a partial model on disk."""

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from huggingface_hub import constants
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

from storage import durable
from storage.space import DiskFull, is_full
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.models import adapters, chat, hub, lora, trunks
from training.rlhf.models.checks.adapter import refuse_other_base
from training.rlhf.models.checks.model import ADVICE, CLASSIFIER, check_model, refuse_wrong_architecture
from training.rlhf.models.checks.refusal import Purpose, Refused, adapter_unusable, wrong_kind
from training.rlhf.models.checks.tokenizer import PLACEHOLDERS, ROLES
from training.rlhf.models.checks.vocabulary import refuse_unknown_tokens
from training.rlhf.models.templates import with_arguments


class ModelNotFound(RunFailure):
    """Raised if the name is not a folder and the hub returns no model, or if the model is unusable."""

    kind = FailureKind.MODEL_UNREADABLE


class Loaded(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


class Opened(NamedTuple):
    """A model as loaded from its folder, before an adapter is merged into its base.

    ``new`` contains the names of weights that are random because no file contains them. These are the weights
    of the head and its modules. The list is empty if all weights were read. For a complete model, ``base`` is
    the model's source. For an adapter, ``base`` is the base model that the adapter was trained on.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    new: list[str]
    base: str


# A model as input to a loop: a folder, a hub name, or a model in memory. A loop that trains a model in memory
# modifies the model in place.
ModelSource: TypeAlias = str | Path | Loaded


def open_policy(
    source: ModelSource,
    arguments: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """Return the model in eval mode. A model in memory is switched to eval mode and keeps its precision.

    `arguments` are added to the template arguments of its tokenizer. Raises Refused for an argument that the
    chat template does not use.
    """
    if isinstance(source, Loaded):
        refuse_tokens_without_embedding(type(source.model).__name__, *source)
        source.model.train(False)  # dropout would make log-probabilities differ between two passes
    model, tokenizer = source if isinstance(source, Loaded) else load_policy(source, dtype=dtype)
    return Loaded(model, with_arguments(tokenizer, arguments or {}))


def open_reward_model(source: ModelSource, *, dtype: torch.dtype = torch.float32) -> Loaded:
    """Return the model in eval mode, like `open_policy`. A model in memory keeps its precision."""
    if isinstance(source, Loaded):
        refuse_tokens_without_embedding(type(source.model).__name__, *source)
        return Loaded(merged(source.model).train(False), source.tokenizer)
    return load_reward_model(source, dtype=dtype)


def default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_policy(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """Load a causal language model and its tokenizer from a folder or a hub name.

    The model is in eval mode, without dropout. A LoRA adapter is merged into its base.
    """
    opened = open_generator(path_or_hub, dtype=dtype, device=device)
    return Loaded(_fold(opened.model), opened.tokenizer)


def open_generator(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Opened:
    """Load a causal language model like `load_policy`, without merging an adapter into its base."""
    opened = _load(Purpose.POLICY, path_or_hub, dtype, device)
    if opened.new:
        raise _lacks(str(path_or_hub), opened.new)
    if opened.tokenizer.pad_token_id is None:
        opened.tokenizer.pad_token = opened.tokenizer.eos_token
    opened.model.config.pad_token_id = chat.pad_id(opened.tokenizer)
    return opened


def load_reward_model(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """Load a sequence classifier with one output and its tokenizer, in eval mode. A LoRA adapter is merged
    into its base.

    Missing weights are an error: a random head would silently produce meaningless scores.
    """
    opened = open_classifier(path_or_hub, purpose=Purpose.REWARD_MODEL, dtype=dtype, device=device)
    if opened.new:
        raise _lacks(str(path_or_hub), opened.new)
    return Loaded(_fold(opened.model), opened.tokenizer)


def open_classifier(
    path_or_hub: str | Path,
    *,
    purpose: Purpose = Purpose.TRUNK,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Opened:
    """Load a sequence classifier with one output. Raises ModelNotFound.

    The source is a reward model, a reward model's adapter, a causal language model or an encoder. If a causal
    language model or an encoder has no head, a new head is added. The new head has transformers' random
    initialisation. A reward model whose head is missing is refused.

    Plain ``AutoModelForSequenceClassification`` reads the last token that differs from ``pad_token_id``. If
    the pad token were EOS, ``AutoModelForSequenceClassification`` would skip the EOS at which a new reward
    model's score is read. A new reward model therefore gets a pad token other than EOS. A reward model that
    was trained with other software keeps its pad token. The score of such a model is read at the position
    used in its training.
    """
    opened = _load(purpose, path_or_hub, dtype, device)
    model, tokenizer = trunks.plain(opened.model), opened.tokenizer
    trunk = f"{model.base_model_prefix}."
    inside = [key for key in opened.new if key.startswith(trunk) and ".pooler." not in key]
    saved_as = (model.config.architectures or [""])[0]
    if lost := inside or (opened.new if saved_as.endswith(CLASSIFIER) else []):
        raise _lacks(str(path_or_hub), lost)
    try:
        trunks.head_of(opened.model)
    except trunks.NoRewardModel as error:
        raise ModelNotFound(
            f"{str(path_or_hub)!r} is not the required kind of model: {error}.",
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
    """Write a model and its tokenizer to one folder, which plain `AutoModel…from_pretrained` can load. Return
    the folder.

    All files are written to a temporary folder beside `out_dir`, which is synced to disk and then renamed. A
    crash therefore leaves either the complete model or the older model of the same name. ``add`` is called
    with the temporary folder, to which it can write further files. LoRA adapters are merged into a copy of
    their trunk. With ``merge=False`` the folder contains only the adapter and the name of its base, in peft's
    format. Raises DiskFull.
    """
    out = Path(out_dir)
    durable.make_folders(out.parent)
    adapter_only = trunks.has_adapters(model) and not merge
    needed = None if adapter_only else sum(tensor.nbytes for tensor in model.parameters())
    with durable.replacing(out, needed=needed) as partial:
        if adapter_only:
            _write_adapter(model, partial)
        else:
            whole = merged(model)
            if whole.config.get_text_config().pad_token_id is None:
                whole.config.get_text_config().pad_token_id = chat.pad_id(tokenizer)
            whole.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if add is not None:
            add(partial)
    return out


def merged(model: Any) -> Any:
    """Return the model without adapters. The adapters are merged into a copy of the model. Repeatedly merging
    and unmerging in place would accumulate rounding errors in the trunk."""
    return _fold(copy.deepcopy(model)) if trunks.has_adapters(model) else model


def _fold(model: Any) -> Any:
    """Merge adapters in place and make all weights trainable."""
    return model.merge_and_unload().requires_grad_(True) if trunks.has_adapters(model) else model


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


def _load(
    purpose: Purpose, path_or_hub: str | Path, dtype: torch.dtype, device: torch.device | None
) -> Opened:
    name = str(path_or_hub)
    auto_class: Any = (
        AutoModelForCausalLM if purpose == Purpose.POLICY else AutoModelForSequenceClassification
    )
    _refuse_missing_folder(name)
    local_only = Path(name).is_dir() or not hub.answers()
    reading = {"trust_remote_code": False, "local_files_only": local_only}
    try:
        adapter = _adapter_folder(name, local_only)
        base = _base(adapter) if adapter else name
        if adapter or Path(name).is_dir():
            check_model(adapter or Path(name), purpose)
        tokenizer = tokenizer_of(adapter, base, reading)
        settings = settings_of(auto_class, base, adapter, tokenizer, reading, purpose)
        model, info = auto_class.from_pretrained(
            base, config=settings, dtype=dtype, use_safetensors=True, output_loading_info=True, **reading
        )
        new = sorted(info["missing_keys"])
        if adapter:
            model, new = _with_adapter(model, adapter, new)
            refuse_other_base(adapter, lora.base_digest(model), base)
            # Store the base model's current location. An adapter trained from this model can then find the
            # base model from any working directory.
            model.active_peft_config.base_model_name_or_path = adapters.lasting_name(base)
        refuse_tokens_without_embedding(name, model, tokenizer)
    except Refused as refused:
        raise ModelNotFound(str(refused), refused.kind) from refused
    except (ModelNotFound, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # reading a damaged file can raise any exception
        if is_full(error):
            raise DiskFull(Path(constants.HF_HUB_CACHE)) from error
        if not isinstance(error, OSError) and not Path(name).is_dir():
            raise
        raise _not_found(name, error, asked_hub=not local_only) from error
    _refuse_broken_numbers(name, model)
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise ModelNotFound(
            f"The tokenizer of {name!r} has no EOS token, so an answer would have no end. Set the "
            "tokenizer's eos_token and save the tokenizer with the model again."
        )
    return Opened(model.to(device or default_device()).eval(), tokenizer, new, base)


def _adapter_folder(name: str, local_only: bool) -> Path | None:
    """Return the folder that contains an adapter's files, or None for a complete model. If the adapter is on
    the hub, its files are downloaded first."""
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
    base = adapters.base_of(adapter)
    if gone := adapters.missing_base(adapter):
        raise ModelNotFound(
            f"{str(adapter)!r} is an adapter for the model at {gone!r}, whose weights are "
            f"missing. Restore the model's folder, put it beside the adapter's folder, or correct "
            f"base_model_name_or_path in {adapters.ADAPTER_CONFIG}.",
            FailureKind.ADAPTER_BASE_GONE,
        )
    return base


def tokenizer_of(adapter: Path | None, base: str, reading: dict[str, Any]) -> PreTrainedTokenizerBase:
    own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(adapter if own else base, **reading)
    return tokenizer


def settings_of(
    auto_class: Any,
    base: str,
    adapter: Path | None,
    tokenizer: PreTrainedTokenizerBase,
    reading: dict[str, Any],
    purpose: Purpose,
) -> Any:
    """Return the configuration with which to load a model. Raises ModelNotFound for an unsupported
    architecture."""
    config = AutoConfig.from_pretrained(base, **reading)
    scoring = auto_class is AutoModelForSequenceClassification
    refuse_wrong_architecture(base, config.to_dict(), purpose)
    known = any(type(one) in auto_class._model_mapping for one in (config, config.get_text_config()))
    if not known:
        wanted = "a causal language model" + (" nor an encoder" if scoring else "")
        raise wrong_kind(
            base,
            f"{config.model_type} is {'neither' if scoring else 'not'} {wanted}. Use a causal language model"
            f"{' or an encoder' if scoring else ''} instead.",
        )
    # transformers gives most encoders a class for causal language modelling, although the encoder's attention
    # also sees later tokens.
    encoder = type(config) in AutoModelForMaskedLM._model_mapping and not getattr(config, "is_decoder", False)
    if encoder and not scoring:
        raise wrong_kind(
            base,
            f"{config.model_type} is an encoder. It reads a text as a whole and can't generate one. {ADVICE}",
        )
    if not scoring:
        return config
    stored = (config.architectures or [""])[0].endswith(CLASSIFIER)
    if stored and config.num_labels != 1:
        raise wrong_kind(
            base,
            f"it classifies texts into {config.num_labels} classes, but a reward model has one output. Use "
            "the language model from which it was trained.",
        )
    config.num_labels = 1
    if adapter and (notes := adapters.notes_of(adapter)):
        config.rankloop = notes.get("rankloop", {})
        config.get_text_config().pad_token_id = notes["pad_token_id"]
    elif adapter and tokenizer.pad_token_id is not None:
        # Trainers set the model's pad token to the tokenizer's pad token. An adapter's folder does not record
        # the pad token separately.
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return config


def _with_adapter(model: Any, folder: Path, new: list[str]) -> tuple[Any, list[str]]:
    """Apply the adapter in ``folder``. Return the adapted model, and the names in ``new`` whose weights the
    adapter does not contain."""
    from peft import PeftConfig, PeftModel, TaskType, get_peft_model, get_peft_model_state_dict
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(folder / adapters.ADAPTER_WEIGHTS, framework="pt") as file:
        found = set(file.keys())
    config = PeftConfig.from_pretrained(str(folder))
    starts_reward_model = trunks.is_classifier(model) and not any(
        f".{head}." in k for k in found for head in trunks.HEADS
    )
    if starts_reward_model:  # the adapter of a policy has no head, which peft would look for
        config.task_type, config.inference_mode = TaskType.SEQ_CLS, False
        adapted: Any = get_peft_model(model, config)
    else:
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    supplied = {key.removeprefix("base_model.model.") for key in found}
    still_new = [key for key in new if key not in supplied]
    lacking = sorted(wanted - found)
    # A head that was not saved with the adapter can come from the base model, but LoRA matrices cannot.
    if lost := [key for key in lacking if ".lora_" in key]:
        raise adapter_unusable(folder, f"it has no weights for {', '.join(lost[:5])}.")
    # peft ignores matrices for layers that the model does not have.
    if unused := sorted(key for key in found - wanted if ".lora_" in key):
        raise adapter_unusable(
            folder, f"it has weights for {', '.join(unused[:5])}, which the base model does not have."
        )
    if starts_reward_model:
        lora.fill_adapter(adapted, lora.POLICY, load_file(folder / adapters.ADAPTER_WEIGHTS))
    return adapted, still_new


def _refuse_broken_numbers(name: str, model: Any) -> None:
    for key, weights in model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise ModelNotFound(
                f"No loadable model at {name!r}: {key} contains NaN or infinite numbers, so every score "
                "would be NaN. Use an earlier checkpoint, saved before training diverged."
            )


def refuse_tokens_without_embedding(name: str, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise Refused if the model has no embedding or no output for one of the tokenizer's tokens."""
    rows = trunks.vocabulary_rows(model)
    named = tokenizer.special_tokens_map
    placeholders = {named[name] for name in PLACEHOLDERS if name in named}
    # Llama 3.2 Vision can read the placeholder of an image, but can't write it. No text contains it, because
    # encoding removes special tokens.
    if (readable := trunks.embedding_rows(model)) > rows:
        tokens, special = tokenizer.get_vocab(), chat.control_tokens(tokenizer)
        placeholders |= {one for one in special if tokens.get(one, readable) < readable}
    placeholders -= {named[role] for role in ROLES if role in named}
    refuse_unknown_tokens(name, tokenizer.get_vocab(), rows=rows, placeholders=placeholders)


def _lacks(name: str, missing: list[str]) -> ModelNotFound:
    refused = wrong_kind(name, f"it has no weights for {', '.join(missing[:5])}. {ADVICE}")
    return ModelNotFound(str(refused), refused.kind)


def _refuse_missing_folder(name: str) -> None:
    path = Path(name)
    if adapters.looks_like_path(name) and not adapters.holds_model(path):
        what = "has no config.json" if path.is_dir() else "is not a folder on this machine"
        raise ModelNotFound(
            f"No model at {name!r}: it {what}. Give a folder with config.json and model.safetensors, "
            "or a name from the Hugging Face hub such as Qwen/Qwen3-0.6B.",
            FailureKind.BASE_MODEL_MISSING,
        )


def _not_found(name: str, error: Exception, *, asked_hub: bool) -> ModelNotFound:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if Path(name).is_dir():
        return ModelNotFound(
            f"No loadable model at {name!r}: {reason} Models are read from safetensors files only."
        )
    unreachable = not asked_hub or hub.UNREACHABLE.search(reason)
    return ModelNotFound(
        f"No model {name!r}: it is not a folder on this machine, and the Hugging Face hub did not return it "
        f"({reason}). Check the name, or download the model elsewhere and give the path of its folder.",
        FailureKind.HUB_UNREACHABLE if unreachable else FailureKind.HUB_UNKNOWN_NAME,
    )
