"""The tokens that end an answer.

A model can have several. Qwen3 and Llama 3 list two in their generation settings, and one of Qwen3's is its
padding token. Wherever an answer is scored, imitated or encoded from text, it ends with EOS instead
(`Completion.ended`, `chat.encode_response`), because a reward model reads its score at EOS.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from training.rlhf.models import chat
from training.rlhf.models.checks.probes import TEMPLATE_ERRORS

# Not part of any template or vocabulary.
SENTINEL = "0qZ7x"


def stop_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return all token IDs that end an answer, in ascending order.

    These are the EOS tokens of the tokenizer and of the model's generation settings, and the token with which
    the chat template closes an assistant turn. The generation settings alone are not enough: the settings of
    many fine-tuned models contain only their base model's ``<|endoftext|>``, although their template closes
    turns with ``<|im_end|>``.
    """
    settings = getattr(model, "generation_config", None)
    listed = _listed(tokenizer.eos_token_id) + _listed(getattr(settings, "eos_token_id", None))
    return sorted({chat.eos_id(tokenizer), *listed, *_listed(turn_end(tokenizer))})


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the ID of the token with which the chat template closes the last assistant turn, or None.

    The token is read from a rendered conversation. Only an added token counts. Text such as a line break can
    also occur within an answer.
    """
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": SENTINEL}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except TEMPLATE_ERRORS:
        return None
    _, found, rest = text.rpartition(SENTINEL)
    rest = rest.lstrip()
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    closing = [token for token in added if token.strip() and found and rest.startswith(token)]
    return added[max(closing, key=len)] if closing else None


def _listed(value: Any) -> list[int]:
    return (
        []
        if value is None
        else [int(one) for one in (value if isinstance(value, (list, tuple)) else [value])]
    )
