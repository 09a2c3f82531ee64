"""Convert text to tokens and back. All conversions are in this module, so that training, scoring, sampling
and PPO use the same token IDs.

Two rules prevent well-known faults in reward models. A response always ends with EOS, wherever it is encoded.
The end of a response is never located by searching for the pad token. Instead, the batch stores lengths.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.alive import alive
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages, plain_text
from training.rlhf.models.checks.probes import TEMPLATE_ERRORS
from training.rlhf.models.parts.trunks import trunk_of
from training.rlhf.models.tokens.templates import arguments_of, turn_end

# Byte-level and SentencePiece vocabularies mark spaces with these characters, which do not occur in text.
SPACE_SIGNS = ("\u0120", "\u2581")

# Cached, because collecting a tokenizer's added tokens takes as long as encoding a text.
_added: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, list[str]]] = WeakKeyDictionary()


_limits: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, int]] = WeakKeyDictionary()


class TemplateRefuses(ValueError):
    """Raised if the tokenizer's chat template cannot render the conversation."""


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Messages, arguments: Mapping[str, Any] | None = None
) -> list[int]:
    """Return the token IDs of a conversation up to the point where the assistant must answer.

    Uses the tokenizer's chat template with the generation prompt or, if there is no template, the plain
    format. The template's arguments are those of the tokenizer, unless `arguments` replaces them.

    If a message contains control tokens as text, these tokens are removed first. Otherwise, a user's text
    could open an assistant turn. Raises TemplateRefuses if the template rejects the conversation or renders
    no text. For example, some templates reject a system turn, or consecutive turns with the same role.
    """
    alive()
    if not messages:
        raise ValueError("a prompt needs at least one message, but this prompt has none")
    turns = [{"role": m["role"], "content": remove_control_tokens(tokenizer, m["content"])} for m in messages]
    if tokenizer.chat_template:
        given = arguments_of(tokenizer) if arguments is None else arguments
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **given)
        except TEMPLATE_ERRORS as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise TemplateRefuses(
                f"the tokenizer's chat template rejects a conversation with the roles {roles}: "
                f"{error if isinstance(error, TemplateError) else repr(error)}"
            ) from error
        if not (ids := _ids(tokenizer, str(text))):
            raise TemplateRefuses("the tokenizer's chat template renders the conversation as an empty text")
        return ids
    # For an encoder, the [CLS] token takes the place of a language model's BOS. The encoder's score is read
    # at the [CLS] token.
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    return ([] if first is None else [_one_id(first)]) + _ids(tokenizer, plain_text(turns))


def encode_response(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the token IDs of one answer, with exactly one EOS at the end, even for an empty text.

    The end is EOS even if the chat template closes turns with another token. A policy trained on such answers
    ends its own answers with EOS. Generation stops at any token in `stop_ids`, which contains both tokens.
    """
    return [*_ids(tokenizer, remove_control_tokens(tokenizer, text)), eos_id(tokenizer)]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Return the text without control tokens (EOS, pad, roles) and without surrounding whitespace."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def remove_control_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Return `text` without the tokenizer's special-token strings.

    The removal is repeated until no such string is left, because removing one string can create another.
    """
    controls = control_tokens(tokenizer)
    while any(token in text for token in controls):
        for token in controls:
            text = text.replace(token, "")
    return text


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return all special tokens of the tokenizer. Some of these tokens, such as the EOS token, have a name in
    the tokenizer's settings. Others, such as the turn markers in Llama 3's template, have none.
    """
    size, added = _added.get(tokenizer, (-1, []))
    if size != len(tokenizer):
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        _added[tokenizer] = len(tokenizer), added
    return [token for token in dict.fromkeys([*tokenizer.all_special_tokens, *added]) if token]


def contains_control_tokens(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> bool:
    """Return whether any of the texts contains a control token, which would be removed during encoding.
    HTML's ``<s>``, for example, is the BOS token of many tokenizers."""
    controls = control_tokens(tokenizer)
    return any(token in text for text in texts for token in controls)


def eos_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the ID of the token that ends a response: EOS, or the [SEP] of an encoder's tokenizer. Raises
    ValueError if the tokenizer has neither token."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if end is None:
        raise ValueError(
            "this tokenizer has no EOS token, so an answer would have no end. Set tokenizer.eos_token"
        )
    return _one_id(end)


def stop_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return all token IDs that end an answer, in ascending order.

    These are the EOS tokens of the tokenizer and of the model's generation settings, and the token with which
    the chat template closes an assistant turn. Qwen3 and Llama 3 list two EOS tokens in their generation
    settings, and one of Qwen3's two tokens is also the padding token. The generation settings alone are not
    enough: those of many fine-tuned models contain only their base model's ``<|endoftext|>``, although their
    template closes turns with ``<|im_end|>``.

    Wherever an answer is scored, imitated or encoded from text, it ends with EOS instead (`Completion.ended`,
    `encode_response`), because a reward model reads its score at EOS.
    """
    settings = getattr(model, "generation_config", None)
    listed = (
        *_all_ids(tokenizer.eos_token_id),
        *_all_ids(getattr(settings, "eos_token_id", None)),
        *_all_ids(turn_end(tokenizer)),
    )
    return sorted({eos_id(tokenizer), *listed})


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the ID of the padding token, or that of EOS if the tokenizer has no padding token. Padding with
    EOS is harmless, because the end of a response is never derived from padding."""
    return eos_id(tokenizer) if tokenizer.pad_token_id is None else _one_id(tokenizer.pad_token_id)


def id_limit(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the tokenizer's largest token ID plus one. The embeddings of many models contain additional
    rows, which no token uses."""
    size, limit = _limits.get(tokenizer, (-1, 0))
    if size != len(tokenizer):
        limit = max(tokenizer.get_vocab().values(), default=-1) + 1
        _limits[tokenizer] = len(tokenizer), limit
    return limit


def pad_other_than_eos(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a token that can never end a response.

    The first candidates are unk, bos and other special tokens. If the tokenizer has none of these candidates,
    a token that does not occur in text is returned. The returned token becomes a control token. Its text is
    removed from all messages, and the tokenizer splits words at this text. A token that occurs in ordinary
    text would therefore be removed from messages. For example, GPT-2 has no special token except EOS, and the
    first entry of its vocabulary is "!".
    """
    eos = eos_id(tokenizer)
    others = [token for token in control_tokens(tokenizer) if tokenizer.convert_tokens_to_ids(token) != eos]
    named = [token for token in (tokenizer.unk_token, tokenizer.bos_token) if token in others]
    return str([*named, *others, _least_likely_text(tokenizer, eos)][0])


def _least_likely_text(tokenizer: PreTrainedTokenizerBase, eos: int) -> str:
    """Return the longest token of the vocabulary, preferably one that begins with a space marker. Texts
    contain spaces instead of space markers, so such a token does not occur in them."""
    names = sorted(name for name, number in tokenizer.get_vocab().items() if number != eos)
    signed = [name for name in names if name[0] in SPACE_SIGNS and len(name) > 1]
    return max(signed or names, key=len)


def context_length(model: PreTrainedModel) -> int:
    """Return the model's context length: the maximum length of prompt and response together, in tokens."""
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if not isinstance(length, int):
        raise ValueError(
            f"{type(model).__name__} does not specify a context length (max_position_embeddings)"
        )
    # RoBERTa and related models number positions from the pad token's ID plus one, so the lower positions are
    # unusable.
    embeddings = getattr(getattr(trunk_of(model), "embeddings", None), "position_embeddings", None)
    pad = getattr(embeddings, "padding_idx", None)
    return length if pad is None else length - pad - 1


def cut_prompts(prompts: Sequence[Sequence[int]], limit: int) -> tuple[list[list[int]], int]:
    """Truncate prompts to `limit` tokens. Return all prompts and the number of truncated prompts.

    A long prompt loses its first tokens, because it starts with the oldest turns and ends with the question
    that must be answered.
    """
    if limit < 1:
        raise UnusableInput(
            f"no room for a prompt: {limit} tokens are left after the response; lower max_new_tokens",
            FailureKind.TEXTS_TOO_LONG,
        )
    return [list(p[-limit:]) for p in prompts], sum(len(p) > limit for p in prompts)


def left_pad(sequences: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad sequences on the left to the length of the longest. Return the token IDs and the mask as int64
    tensors of shape (B, T)."""
    width = max(len(s) for s in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    mask = torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        if sequence:
            ids[row, width - len(sequence) :] = torch.tensor(sequence)
            mask[row, width - len(sequence) :] = 1
    return ids, mask


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _one_id(value: Any) -> int:
    """Return a configured token ID, or the first ID if the configuration lists alternatives."""
    return int(value[0] if isinstance(value, (list, tuple)) else value)


def _all_ids(value: Any) -> list[int]:
    """Return the IDs of a configured token: none, one or several."""
    if value is None:
        return []
    return [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]
