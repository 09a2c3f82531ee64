"""Encode the prompts of a run. Prompts that the chat template refuses are left out and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.models import chat


@dataclass(frozen=True, slots=True)
class EncodedPrompts:
    """The usable prompts and their token IDs, in order. `cut` is the number of prompts that were truncated on
    the left. `refused` is the number of prompts that the chat template can't render."""

    messages: list[Messages]
    ids: list[list[int]]
    cut: int
    refused: int


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], *, limit: int
) -> EncodedPrompts:
    """Encode prompts and truncate them to `limit` tokens. Raises UnusableInput if there are no prompts, or if
    the template refuses all of them."""
    messages: list[Messages] = []
    ids: list[list[int]] = []
    reason: chat.TemplateRefuses | None = None
    for prompt in prompts:
        try:
            ids.append(chat.encode_prompt(tokenizer, prompt))
        except chat.TemplateRefuses as refused:
            reason = reason or refused
        else:
            messages.append(prompt)
    if not messages:
        why = f": all {len(prompts)} were refused. For the first one, {reason}" if reason else ""
        raise UnusableInput(f"there are no prompts to answer{why}", FailureKind.DATA_EMPTY)
    fitting, cut = chat.cut_prompts(ids, limit)
    return EncodedPrompts(messages, fitting, cut, len(prompts) - len(messages))
