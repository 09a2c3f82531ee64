"""Encode the prompts of a run. Prompts that the chat template refuses are left out and counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.models.tokens import chat


@dataclass(frozen=True, slots=True)
class EncodedPrompts:
    """The usable prompts and their token IDs, in order. `positions` contains each usable prompt's index among
    all prompts. `cut` is the number of prompts that lost their first tokens. `refused` is the number of
    prompts that the chat template can't render."""

    messages: list[Messages]
    ids: list[list[int]]
    positions: list[int]
    cut: int
    refused: int


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], *, limit: int
) -> EncodedPrompts:
    """Encode prompts and truncate them to `limit` tokens. Raises UnusableInput if there are no prompts, or if
    the template refuses all of them."""
    [encoded] = batches_of_usable(tokenizer, prompts, limit=limit, size=len(prompts))
    return encoded


def batches_of_usable(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Messages], *, limit: int, size: int
) -> Iterator[EncodedPrompts]:
    """Yield the usable prompts in batches of `size`. The last batch can be smaller. Only one batch is encoded
    at a time.

    Each refused prompt is counted in one batch. Raises UnusableInput as `encode_prompts` does.
    """
    usable: list[tuple[int, list[int]]] = []
    refused, reason = 0, None

    def batch() -> EncodedPrompts:
        positions, ids = [position for position, _ in usable], [one for _, one in usable]
        fitting, cut = chat.cut_prompts(ids, limit)
        return EncodedPrompts([prompts[i] for i in positions], fitting, positions, cut, refused)

    for position, prompt in enumerate(prompts):
        try:
            ids = chat.encode_prompt(tokenizer, prompt)
        except chat.TemplateRefuses as error:
            refused, reason = refused + 1, reason or error
            continue
        # A full batch waits for the next usable prompt. Refused prompts at the end are therefore counted in
        # the last batch.
        if len(usable) == size:
            yield batch()
            usable, refused = [], 0
        usable.append((position, ids))
    if not usable:
        why = f": all {len(prompts)} were refused. The first was refused because {reason}" if reason else ""
        raise UnusableInput(f"there are no prompts to answer{why}", FailureKind.DATA_EMPTY)
    yield batch()
