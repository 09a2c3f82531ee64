"""What a model's folder says about the model: its settings, the shapes of its weights, its tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.rlhf.models.adapters import CONFIG_FILE
from training.rlhf.models.checks.refusal import unreadable
from training.rlhf.models.headers import BrokenWeights, shapes_in

Shapes = Mapping[str, tuple[int, ...]]
State = tuple[tuple[str, int, int], ...]

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
# Files from which transformers can build a tokenizer if there is no tokenizer.json.
OTHER_TOKENIZERS = (
    *("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("spm.model", "bpe.model", "tekken.json"),
)
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Placeholder tokens for images, audio or video. A multimodal model replaces a placeholder with the features
# of the image, audio or video. Text-only models of the same family have no embedding for the placeholder.
# Example: <image_soft_token> of gemma-3-1b-it.
PLACEHOLDERS = ("image_token", "audio_token", "video_token")


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokens of a tokenizer with their IDs, its named special tokens, and its chat template."""

    tokens: Mapping[str, int]
    named: Mapping[str, str]
    template: str

    @property
    def roles(self) -> dict[str, str]:
        return {name: token for name, token in self.named.items() if name in ROLES}

    @property
    def placeholders(self) -> set[str]:
        named = {token for name, token in self.named.items() if name in PLACEHOLDERS}
        return named - set(self.roles.values())


def config_in(folder: Path) -> dict[str, Any]:
    """Return the settings of a language model. In a multimodal model, the settings of the text part take
    precedence. Raises Refused."""
    config = read_json(folder, CONFIG_FILE)
    inner = config.get("text_config")
    return {**config, **inner} if isinstance(inner, dict) else config


def number_in(config: Mapping[str, Any], *names: str) -> int:
    """The first of these settings that is a number; 0 if there is none."""
    return next((value for name in names if isinstance(value := config.get(name), int)), 0)


def weights_in(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights. Raises Refused if a file is missing or truncated."""
    names = [WEIGHTS]
    if (folder / INDEX).is_file():
        listed = read_json(folder, INDEX).get("weight_map")
        names = sorted(set(listed.values())) if isinstance(listed, dict) else []
    elif not (folder / WEIGHTS).is_file():
        others = sorted(file.name for pattern in ("*.bin", "*.pt", "*.gguf") for file in folder.glob(pattern))
        found = f"the folder has only {others[0]}" if others else "the folder has no weights"
        raise unreadable(folder, f"{found}. Models are read from safetensors files only ({WEIGHTS}).")
    shapes: dict[str, tuple[int, ...]] = {}
    for name in names:
        if not (folder / name).is_file():
            raise unreadable(folder, f"{INDEX} lists {name}, which is missing. Download the model again.")
        try:
            shapes |= shapes_in(folder / name)
        except BrokenWeights as error:
            raise unreadable(folder, f"{error}. Download or save the model again.") from error
    return shapes


def tokenizer_in(folder: Path) -> TokenizerFiles | None:
    """Return the tokenizer's contents, or None if the tokenizer has no tokenizer.json. Raises Refused."""
    if not (folder / TOKENIZER).is_file():
        if any((folder / name).is_file() for name in OTHER_TOKENIZERS):
            return None
        raise unreadable(
            folder, f"the folder has no tokenizer ({TOKENIZER}). Save the model's tokenizer in it."
        )
    whole = read_json(folder, TOKENIZER)
    settings = optional_json(folder, TOKENIZER_CONFIG)
    try:
        tokens = _vocabulary(whole)
        tokens |= {one["content"]: int(one["id"]) for one in whole.get("added_tokens") or ()}
        for number, one in dict(settings.get("added_tokens_decoder") or {}).items():
            tokens.setdefault(one["content"], int(number))
        named = _named(settings) | _named(optional_json(folder, "special_tokens_map.json"))
        # transformers appends a special token that the vocabulary lacks.
        for token in named.values():
            if token not in tokens:
                tokens[token] = max(tokens.values(), default=-1) + 1
        template = _template(folder, settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(folder, f"{TOKENIZER} or {TOKENIZER_CONFIG} can't be read: {error!r}.") from error
    return TokenizerFiles(tokens, named, template)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON object. Raises Refused."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise unreadable(folder, f"{name} can't be read: {error}.") from error
    if not isinstance(found, dict):
        raise unreadable(folder, f"{name} is not a JSON object.")
    return found


def optional_json(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder, name) if (folder / name).is_file() else {}


def _vocabulary(whole: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of the tokenizer's model. Unigram models list pairs of a token and its score."""
    found = whole["model"]["vocab"]
    if isinstance(found, dict):
        return {str(token): int(number) for token, number in found.items()}
    return {str(pair[0]): number for number, pair in enumerate(found)}


def _named(settings: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that have a name. A token is written as text or as an object with its `content`."""
    found: dict[str, str] = {}
    for group in (
        settings,
        settings.get("extra_special_tokens"),
        settings.get("model_specific_special_tokens"),
    ):
        for name, value in _items(group):
            token = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(token, str) and token:
                found[name] = token
    return found


def _items(group: object) -> Iterator[tuple[str, Any]]:
    if isinstance(group, Mapping):
        yield from group.items()


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The chat template, or an empty string. A separate template file takes precedence over the tokenizer's
    settings. Older models store the template in these settings, which can also contain several templates."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    found = settings.get("chat_template") or ""
    if isinstance(found, list):
        found = next((one["template"] for one in found if one["name"] == "default"), "")
    return str(found)


def state_of(folder: Path) -> State:
    """The names, sizes and modification times of the folder's files. Results of a check stay valid as long as
    this state is unchanged."""
    found = [(file.name, file.stat()) for file in folder.glob("*") if file.is_file()]
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))
