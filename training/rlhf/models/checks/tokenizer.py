"""The tokens, the special tokens and the chat template of the tokenizer in a model's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from training.rlhf.models.checks.files import State, optional_json, read_json, state_of
from training.rlhf.models.checks.refusal import unreadable
from training.rlhf.models.files.adapters import CONFIG_FILE
from training.rlhf.models.files.json_files import MAX_TOKENIZER_BYTES, BrokenFile, reading, text_in

TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
# The keys under which tokenizer_config.json stores the arguments of the chat template.
NOTES, TEMPLATE_ARGUMENTS = "rankloop", "template_arguments"
# Files from which transformers can build a tokenizer if there is no tokenizer.json.
OTHER_TOKENIZERS = (
    *("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("spm.model", "bpe.model", "tekken.json"),
)
# Tokenizers that split text into characters or bytes and have no vocabulary file.
WITHOUT_VOCABULARY = ("canine", "perceiver", "byt5")
ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Placeholder tokens for images, audio or video. A multimodal model replaces a placeholder with the features
# of the image, audio or video. Text-only models of the same family have no embedding for the placeholder.
# Example: <image_soft_token> of gemma-3-1b-it.
PLACEHOLDERS = ("image_token", "audio_token", "video_token")
READ = {TOKENIZER, TOKENIZER_CONFIG, TEMPLATE, "special_tokens_map.json", "added_tokens.json"}


@dataclass(frozen=True)
class TokenizerFiles:
    """The tokens of a tokenizer with their IDs, its named special tokens, its chat template, and the
    template's saved arguments."""

    tokens: Mapping[str, int]
    named: Mapping[str, str]
    template: str
    arguments: Mapping[str, Any]

    @property
    def roles(self) -> dict[str, str]:
        return {name: token for name, token in self.named.items() if name in ROLES}

    @property
    def placeholders(self) -> set[str]:
        named = {token for name, token in self.named.items() if name in PLACEHOLDERS}
        return named - set(self.roles.values())


def tokenizer_in(folder: Path) -> TokenizerFiles | None:
    """Return the tokenizer's contents, or None if the tokenizer has no tokenizer.json. Raises Refused."""
    state = tuple(entry for entry in state_of(folder) if entry[0] in READ)
    if any(name == TOKENIZER for name, *_ in state):
        return _read(folder, state)
    if any((folder / name).is_file() for name in OTHER_TOKENIZERS) or _needs_no_vocabulary(folder):
        return None
    raise unreadable(folder, f"the folder has no tokenizer ({TOKENIZER}). Save the model's tokenizer in it.")


# Parsing a large tokenizer takes a second and 50 MB of memory. The launch of a PPO run needs the tokenizers
# of its two models several times.
@lru_cache(maxsize=2)
def _read(folder: Path, state: State) -> TokenizerFiles:
    whole = read_json(folder, TOKENIZER, max_bytes=MAX_TOKENIZER_BYTES)
    settings = optional_json(folder, TOKENIZER_CONFIG)
    try:
        with reading(f"{TOKENIZER} or {TOKENIZER_CONFIG}"):
            tokens = _vocabulary(whole)
            tokens |= {one["content"]: int(one["id"]) for one in whole.get("added_tokens") or ()}
            if "added_tokens_decoder" in settings:
                for number, one in dict(settings["added_tokens_decoder"] or {}).items():
                    tokens.setdefault(one["content"], int(number))
            else:
                # transformers reads these older files only if `added_tokens_decoder` is missing.
                settings = _with_map(settings, optional_json(folder, "special_tokens_map.json"))
                for token, number in optional_json(folder, "added_tokens.json").items():
                    tokens.setdefault(token, int(number))
            named = _named(settings)
            # transformers appends a special token that the vocabulary lacks.
            following = max(tokens.values(), default=-1) + 1
            for token in (*named.values(), *_extra(settings)):
                if token not in tokens:
                    tokens[token] = following
                    following += 1
            template = _template(folder, settings)
            arguments = dict((settings.get(NOTES) or {}).get(TEMPLATE_ARGUMENTS) or {})
    except BrokenFile as error:
        raise unreadable(folder, f"{error}.") from error
    return TokenizerFiles(tokens, named, template, arguments)


def _needs_no_vocabulary(folder: Path) -> bool:
    kinds = (
        optional_json(folder, TOKENIZER_CONFIG).get("tokenizer_class"),
        optional_json(folder, CONFIG_FILE).get("model_type"),
    )
    return any(str(kind).lower().removesuffix("tokenizer") in WITHOUT_VOCABULARY for kind in kinds)


def _vocabulary(whole: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of the tokenizer's model. Unigram models list pairs of a token and its score."""
    found = whole["model"]["vocab"]
    if isinstance(found, dict):
        return {str(token): int(number) for token, number in found.items()}
    return {str(pair[0]): number for number, pair in enumerate(found)}


def _with_map(settings: Mapping[str, Any], special: Mapping[str, Any]) -> dict[str, Any]:
    extra = [*_extra(settings), *_extra(special)]
    return {**settings, **special, **({"extra_special_tokens": extra} if extra else {})}


def _named(settings: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens that have a name."""
    found: dict[str, str] = {}
    for group in (
        settings,
        settings.get("extra_special_tokens"),
        settings.get("model_specific_special_tokens"),
    ):
        for name, value in _items(group):
            if name.endswith("_token") and (token := _text(value)):
                found[name] = token
    return found


def _extra(settings: Mapping[str, Any]) -> list[str]:
    """The special tokens without a name. `additional_special_tokens` is the older name of the setting."""
    listed = settings.get("extra_special_tokens") or settings.get("additional_special_tokens")
    return [token for value in listed if (token := _text(value))] if isinstance(listed, list) else []


def _text(value: object) -> str:
    """Return the text of a token. A token is stored as a string, or as an object
    whose `content` is the text."""
    token = value.get("content") if isinstance(value, dict) else value
    return token if isinstance(token, str) else ""


def _items(group: object) -> Iterator[tuple[str, Any]]:
    if isinstance(group, Mapping):
        yield from group.items()


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    """The chat template, or an empty string. A separate template file takes precedence over the tokenizer's
    settings, where older versions of transformers stored templates. The settings can also contain a list of
    templates."""
    if (folder / TEMPLATE).is_file():
        return text_in(folder / TEMPLATE)
    found = settings.get("chat_template") or ""
    if isinstance(found, list):
        found = next((one["template"] for one in found if one["name"] == "default"), "")
    return str(found)
