"""Load models and tokenizers: safetensors only, and never remote code."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import torch
from huggingface_hub import constants
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file

from storage.space import DiskFull, is_full
from training.rlhf.core.devices import default_device
from training.rlhf.models.checks.adapter import refuse_other_base
from training.rlhf.models.checks.model import CLASSIFIER, check_model
from training.rlhf.models.checks.refusal import Purpose, Refused
from training.rlhf.models.files import adapters
from training.rlhf.models.loading import hub
from training.rlhf.models.loading.refusals import (
    ModelNotFound,
    lacks_weights,
    not_found,
    refuse_broken_numbers,
    refuse_missing_base,
    refuse_missing_folder,
    refuse_missing_head,
    refuse_other_matrices,
    refuse_tokenizer_without_end,
    refuse_tokens_without_embedding,
    refuse_unsupported,
)
from training.rlhf.models.loading.sources import Loaded, ModelSource, Opened, class_for
from training.rlhf.models.parts import lora, trunks
from training.rlhf.models.tokens import chat
from training.rlhf.models.tokens.templates import with_arguments


def open_policy(
    source: ModelSource,
    arguments: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """Return the model in eval mode. A model in memory is switched to eval mode and keeps its precision.

    `arguments` are added to the template arguments of the model's tokenizer. Raises Refused for an argument
    that the chat template does not use.
    """
    if isinstance(source, Loaded):
        refuse_tokens_without_embedding(type(source.model).__name__, *source)
        source.model.train(False)  # dropout would make log-probabilities differ between two passes
    model, tokenizer = source if isinstance(source, Loaded) else load_policy(source, dtype=dtype)
    return Loaded(model, with_arguments(tokenizer, arguments or {}))


def open_reward_model(source: ModelSource, *, dtype: torch.dtype = torch.float32) -> Loaded:
    """Return the model in eval mode, like `open_policy`. If a model in memory has adapters, the result is a
    copy with the adapters merged."""
    if isinstance(source, Loaded):
        refuse_tokens_without_embedding(type(source.model).__name__, *source)
        return Loaded(lora.merged(source.model).train(False), source.tokenizer)
    return load_reward_model(source, dtype=dtype)


def load_policy(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """Load a causal language model and its tokenizer from a folder or a hub name.

    The model is in eval mode, without dropout. A LoRA adapter is merged into its base.
    """
    opened = open_generator(path_or_hub, dtype=dtype, device=device)
    return Loaded(lora.fold(opened.model), opened.tokenizer)


def open_generator(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Opened:
    """Load a causal language model as `load_policy` does, but don't merge an adapter into its base."""
    opened = _load(Purpose.POLICY, path_or_hub, dtype, device)
    if opened.new:
        raise lacks_weights(str(path_or_hub), opened.new)
    if opened.tokenizer.pad_token_id is None:
        opened.tokenizer.pad_token = opened.tokenizer.eos_token
    opened.model.config.pad_token_id = chat.pad_id(opened.tokenizer)
    return opened


def load_reward_model(
    path_or_hub: str | Path, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> Loaded:
    """Load a sequence classifier that has one output, together with its tokenizer. The model is in eval mode.
    A LoRA adapter is merged into its base.

    Missing weights are an error: a random head would silently produce meaningless scores.
    """
    opened = open_classifier(path_or_hub, purpose=Purpose.REWARD_MODEL, dtype=dtype, device=device)
    if opened.new:
        raise lacks_weights(str(path_or_hub), opened.new)
    return Loaded(lora.fold(opened.model), opened.tokenizer)


def open_classifier(
    path_or_hub: str | Path,
    *,
    purpose: Purpose = Purpose.TRUNK,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
) -> Opened:
    """Load a sequence classifier with one output. Raises ModelNotFound.

    The source is a reward model, a reward model's adapter, a causal language model or an encoder. If a causal
    language model or an encoder has no head, a new head with transformers' random initialisation is added. A
    reward model whose head is missing is refused.

    Plain ``AutoModelForSequenceClassification`` reads the score at the last token that differs from
    ``pad_token_id``. If the pad token were EOS, this class would skip the EOS at which a new reward model's
    score is read. A new reward model therefore gets a pad token other than EOS. A reward model that was
    trained with other software keeps its pad token, so its score is read at the position used in its
    training.
    """
    opened = _load(purpose, path_or_hub, dtype, device)
    model, tokenizer = trunks.plain(opened.model), opened.tokenizer
    trunk = f"{model.base_model_prefix}."
    inside = [key for key in opened.new if key.startswith(trunk) and ".pooler." not in key]
    saved_as = (model.config.architectures or [""])[0]
    if lost := inside or (opened.new if saved_as.endswith(CLASSIFIER) else []):
        raise lacks_weights(str(path_or_hub), lost)
    refuse_missing_head(str(path_or_hub), opened.model)
    config = model.config.get_text_config()
    if opened.new or config.pad_token_id is None:
        if chat.pad_id(tokenizer) == chat.eos_id(tokenizer):
            tokenizer = copy.deepcopy(tokenizer)
            tokenizer.pad_token = chat.pad_other_than_eos(tokenizer)
        config.pad_token_id = chat.pad_id(tokenizer)
    return opened._replace(tokenizer=tokenizer)


def _load(
    purpose: Purpose, path_or_hub: str | Path, dtype: torch.dtype, device: torch.device | None
) -> Opened:
    name = str(path_or_hub)
    refuse_missing_folder(name)
    local_only = Path(name).is_dir() or not hub.answers()
    if not local_only:
        hub.limit_requests()
    reading = {"trust_remote_code": False, "local_files_only": local_only}
    try:
        adapter = _adapter_folder(name, local_only)
        base = name
        if adapter:
            base = adapters.base_of(adapter)
            refuse_missing_base(adapter)
        if adapter or Path(name).is_dir():
            check_model(adapter or Path(name), purpose)
        tokenizer = tokenizer_of(adapter, base, reading)
        settings = settings_of(base, adapter, tokenizer, reading, purpose)
        model, info = class_for(purpose).from_pretrained(
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
        if not isinstance(error, OSError | httpx2.TransportError) and not Path(name).is_dir():
            raise
        raise not_found(name, error, asked_hub=not local_only) from error
    refuse_broken_numbers(name, model)
    refuse_tokenizer_without_end(name, tokenizer)
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


def tokenizer_of(adapter: Path | None, base: str, reading: dict[str, Any]) -> PreTrainedTokenizerBase:
    own = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(adapter if own else base, **reading)
    return tokenizer


def settings_of(
    base: str,
    adapter: Path | None,
    tokenizer: PreTrainedTokenizerBase,
    reading: dict[str, Any],
    purpose: Purpose,
) -> Any:
    """Return the configuration with which to load a model. Raises Refused for an unsupported
    architecture."""
    config = AutoConfig.from_pretrained(base, **reading)
    refuse_unsupported(base, config, purpose)
    if purpose == Purpose.POLICY:
        return config
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
    if starts_reward_model:  # a policy's adapter has no head, and peft would look for one
        config.task_type, config.inference_mode = TaskType.SEQ_CLS, False
        adapted: Any = get_peft_model(model, config)
    else:
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    supplied = {key.removeprefix("base_model.model.") for key in found}
    still_new = [key for key in new if key not in supplied]
    refuse_other_matrices(folder, wanted=wanted, found=found)
    if starts_reward_model:
        lora.fill_adapter(adapted, lora.POLICY, load_file(folder / adapters.ADAPTER_WEIGHTS))
    return adapted, still_new
