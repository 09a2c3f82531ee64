"""Refuse unusable models for reasons that become apparent only when a model is loaded.

`models.checks` refuses models because of the contents of their files, without loading the models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForMaskedLM,
    PreTrainedTokenizerBase,
)

from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.models.checks.model import ADVICE, CLASSIFIER, refuse_wrong_architecture
from training.rlhf.models.checks.refusal import Purpose, adapter_unusable, wrong_kind
from training.rlhf.models.checks.tokenizer import PLACEHOLDERS, ROLES
from training.rlhf.models.checks.vocabulary import refuse_unknown_tokens
from training.rlhf.models.files import adapters
from training.rlhf.models.loading import hub
from training.rlhf.models.loading.sources import class_for
from training.rlhf.models.parts import trunks
from training.rlhf.models.tokens import chat


class ModelNotFound(RunFailure):
    """Raised if the name is not a folder and the hub returns no model, or if the model is unusable."""

    kind = FailureKind.MODEL_UNREADABLE


def refuse_missing_folder(name: str) -> None:
    path = Path(name)
    if adapters.looks_like_path(name) and not adapters.holds_model(path):
        what = "has no config.json" if path.is_dir() else "is not a folder on this machine"
        raise ModelNotFound(
            f"No model at {name!r}: it {what}. Use a folder with config.json and model.safetensors, "
            "or a name from the Hugging Face hub such as Qwen/Qwen3-0.6B.",
            FailureKind.BASE_MODEL_MISSING,
        )


def refuse_missing_base(adapter: Path) -> None:
    """Raise ModelNotFound if an adapter's base model is missing."""
    if gone := adapters.missing_base(adapter):
        raise ModelNotFound(
            f"{str(adapter)!r} is an adapter for the model at {gone!r}, whose weights are "
            f"missing. Restore the model's folder, put it beside the adapter's folder, or correct "
            f"base_model_name_or_path in {adapters.ADAPTER_CONFIG}.",
            FailureKind.ADAPTER_BASE_GONE,
        )


def refuse_unsupported(base: str, config: Any, purpose: Purpose) -> None:
    """Raise Refused if models of this architecture can't be used for this purpose."""
    scoring = purpose != Purpose.POLICY
    refuse_wrong_architecture(base, config.to_dict(), purpose)
    known = any(type(one) in class_for(purpose)._model_mapping for one in (config, config.get_text_config()))
    if not known:
        wanted = "a causal language model" + (" nor an encoder" if scoring else "")
        raise wrong_kind(
            base,
            f"{config.model_type} is {'neither' if scoring else 'not'} {wanted}. Use a causal language model"
            f"{' or an encoder' if scoring else ''} instead.",
        )
    # For most encoders, transformers has a class for causal language modelling, although an encoder's
    # attention includes later tokens.
    encoder = type(config) in AutoModelForMaskedLM._model_mapping and not getattr(config, "is_decoder", False)
    if encoder and not scoring:
        raise wrong_kind(
            base,
            f"{config.model_type} is an encoder, which can't generate text. {ADVICE}",
        )
    if not scoring:
        return
    stored = (config.architectures or [""])[0].endswith(CLASSIFIER)
    if stored and config.num_labels != 1:
        raise wrong_kind(
            base,
            f"it classifies texts into {config.num_labels} classes, but a reward model has one output. Use "
            "the language model from which it was trained.",
        )


def refuse_other_matrices(folder: Path, *, wanted: set[str], found: set[str]) -> None:
    """Raise Refused if an adapter's file lacks a LoRA matrix of the adapted model, or contains one that this
    model does not have."""
    lacking = sorted(wanted - found)
    # A head that was not saved with the adapter can come from the base model, but LoRA matrices cannot.
    if lost := [key for key in lacking if ".lora_" in key]:
        raise adapter_unusable(folder, f"it has no weights for {', '.join(lost[:5])}.")
    # peft ignores matrices for layers that the model does not have.
    if unused := sorted(key for key in found - wanted if ".lora_" in key):
        raise adapter_unusable(
            folder, f"it has weights for {', '.join(unused[:5])}, which the base model does not have."
        )


def refuse_missing_head(name: str, model: Any) -> None:
    """Raise ModelNotFound if the model does not end in a linear layer with one output."""
    try:
        trunks.head_of(model)
    except trunks.NoRewardModel as error:
        raise ModelNotFound(
            f"{name!r} is not the required kind of model: {error}.",
            FailureKind.WRONG_KIND_OF_MODEL,
        ) from error


def refuse_tokenizer_without_end(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
        raise ModelNotFound(
            f"The tokenizer of {name!r} has no EOS token, so an answer would have no end. Set the "
            "tokenizer's eos_token and save the tokenizer with the model again."
        )


def refuse_broken_numbers(name: str, model: Any) -> None:
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


def lacks_weights(name: str, missing: list[str]) -> ModelNotFound:
    refused = wrong_kind(name, f"it has no weights for {', '.join(missing[:5])}. {ADVICE}")
    return ModelNotFound(str(refused), refused.kind)


def not_found(name: str, error: Exception, *, asked_hub: bool) -> ModelNotFound:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if Path(name).is_dir():
        return ModelNotFound(
            f"No loadable model at {name!r}: {reason} Models are read from safetensors files only."
        )
    unreachable = not asked_hub or hub.UNREACHABLE.search(reason)
    return ModelNotFound(
        f"No model {name!r}: it is not a folder on this machine, and the Hugging Face hub did not return it "
        f"({reason}). Check the name, or download the model on another machine, copy its folder to this "
        "machine, and use the path of the copy.",
        FailureKind.HUB_UNREACHABLE if unreachable else FailureKind.HUB_UNKNOWN_NAME,
    )
