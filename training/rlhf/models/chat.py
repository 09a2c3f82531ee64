"""Text to tokens and back, in one place, so that training, scoring, sampling and PPO see the very same ids.

Two rules that reward models are known to break on: a response always ends with EOS, wherever it is
encoded; and ends are never found by looking for the pad token (lengths travel with the batch instead).
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.models.trunks import trunk_of

# A tokenizer without a chat template (a base model's) gets this plain format:
#   user: <content>\nassistant: <content>\n … assistant:
PLAIN_TURN = "{role}: {content}\n"
PLAIN_GENERATION_PROMPT = "assistant:"
# What byte-level vocabularies and those of SentencePiece write for a space: no text has them.
SPACE_SIGNS = ("\u0120", "\u2581")

# Looking through a tokenizer's added tokens takes as long as encoding a text.
_added: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, list[str]]] = WeakKeyDictionary()


class TemplateRefuses(ValueError):
    """The tokenizer's chat template has no way to write this conversation."""


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Messages) -> list[int]:
    """Token ids of a conversation up to the point where the assistant must answer.

    Uses the tokenizer's chat template with its generation prompt, else the plain format above. Control
    tokens spelt out inside a message are removed first: a user's text must not be able to open an
    assistant turn. Raises TemplateRefuses: some templates have no system turn, or none twice in a row.
    """
    if not messages:
        raise ValueError("a prompt needs at least one message, got none")
    turns = [{"role": m["role"], "content": remove_control_tokens(tokenizer, m["content"])} for m in messages]
    if tokenizer.chat_template:
        try:
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise TemplateRefuses(
                f"the tokenizer's chat template refuses a conversation of {roles}: {error}"
            ) from error
        return _ids(tokenizer, str(text))
    plain = "".join(PLAIN_TURN.format(**turn) for turn in turns) + PLAIN_GENERATION_PROMPT
    # An encoder's [CLS], where its score is read, stands where a language model has its BOS.
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.cls_token_id
    return ([] if first is None else [_one_id(first)]) + _ids(tokenizer, plain)


def encode_response(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of one answer; always ends with exactly one EOS, also for an empty text."""
    return [*_ids(tokenizer, remove_control_tokens(tokenizer, text)), eos_id(tokenizer)]


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text a reader sees: control tokens (EOS, pad, roles) left out, outer white space removed."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


def remove_control_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` without any of the tokenizer's special-token strings (repeated, as removing one may join
    another)."""
    controls = control_tokens(tokenizer)
    while any(token in text for token in controls):
        for token in controls:
            text = text.replace(token, "")
    return text


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """What no text may spell: the special tokens that have a name, EOS for one, and those that were added
    without, as are the marks of turns in Llama 3's template."""
    size, added = _added.get(tokenizer, (-1, []))
    if size != len(tokenizer):
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        _added[tokenizer] = len(tokenizer), added
    return [token for token in dict.fromkeys([*tokenizer.all_special_tokens, *added]) if token]


def eos_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that ends a response: EOS, or the [SEP] of an encoder's tokenizer. Without either, it can't be
    said when an answer is over."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if end is None:
        raise ValueError(
            "this tokenizer has no EOS token, so an answer would have no end: set tokenizer.eos_token"
        )
    return _one_id(end)


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills padded places. Falls back to EOS: harmless here, as no end is ever derived from
    pads."""
    return eos_id(tokenizer) if tokenizer.pad_token_id is None else _one_id(tokenizer.pad_token_id)


def pad_other_than_eos(tokenizer: PreTrainedTokenizerBase) -> str:
    """A token that can never end a response: unk, bos, another special token, or one that no text holds.

    Its text becomes a control token, which texts lose and their words are cut at. GPT-2's only special token
    is its EOS, and the first of its vocabulary is "!".
    """
    eos = eos_id(tokenizer)
    others = [token for token in control_tokens(tokenizer) if tokenizer.convert_tokens_to_ids(token) != eos]
    named = [token for token in (tokenizer.unk_token, tokenizer.bos_token) if token in others]
    return str([*named, *others, _least_likely_text(tokenizer, eos)][0])


def _least_likely_text(tokenizer: PreTrainedTokenizerBase, eos: int) -> str:
    """The longest token of the vocabulary; of those that spell a space by a sign of their own, if there are:
    nobody writes it."""
    names = sorted(name for name, number in tokenizer.get_vocab().items() if number != eos)
    signed = [name for name in names if name[0] in SPACE_SIGNS and len(name) > 1]
    return max(signed or names, key=len)


def context_length(model: PreTrainedModel) -> int:
    """The longest sequence (prompt and response together, in tokens) that the model has positions for."""
    config = model.config.get_text_config()
    length = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if not isinstance(length, int):
        raise ValueError(
            f"{type(model).__name__} doesn't say how long its context is (max_position_embeddings)"
        )
    # RoBERTa and its kin count positions from behind the pad token's id.
    embeddings = getattr(getattr(trunk_of(model), "embeddings", None), "position_embeddings", None)
    pad = getattr(embeddings, "padding_idx", None)
    return length if pad is None else length - pad - 1


def cut_prompts(prompts: Sequence[Sequence[int]], limit: int) -> tuple[list[list[int]], int]:
    """Prompts no longer than `limit` tokens, and how many had to be cut. Cut from the left: the question
    that must be answered stands at the end, the oldest turns at the start."""
    if limit < 1:
        raise UnusableInput(
            f"no room for a prompt: {limit} tokens are left after the response; lower max_new_tokens",
            FailureKind.TEXTS_TOO_LONG,
        )
    return [list(p[-limit:]) for p in prompts], sum(len(p) > limit for p in prompts)


def left_pad(sequences: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of unlike length -> (ids, mask), both (B, T) int64, aligned at their right end."""
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
    """Some configurations carry a list of ids; the first one is the id itself, the others are
    alternatives."""
    return int(value[0] if isinstance(value, (list, tuple)) else value)
