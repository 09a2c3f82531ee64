"""Demonstrations as tokens: which demonstrations can be used, and which prompts are held out.

Only the final answer of a demonstration is imitated. Earlier assistant turns of a conversation are part of
the prompt: they were not chosen as answers to imitate.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Demonstration, Messages
from training.rlhf.data.rankings import is_held_out, words_of
from training.rlhf.models.tokens import chat


@dataclass(frozen=True, slots=True)
class Row:
    """One demonstration as tokens: the prompt, then the response with EOS. `key` identifies the prompt when
    the rows are split into training and held-out sets. Without a key, the prompt's tokens identify the
    prompt."""

    prompt: list[int]
    response: list[int]
    key: str = ""

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.response)

    @property
    def prompt_key(self) -> str:
        return self.key or str(self.prompt)


@dataclass(frozen=True, slots=True)
class Encoded:
    """The usable demonstrations in order, with their conversations. `left_out` counts the demonstrations that
    can't be used, by reason. `prompts_cut` counts truncated prompts."""

    rows: list[Row]
    messages: list[Messages]
    left_out: dict[str, int]
    prompts_cut: int

    def first_prompts(self, number: int) -> list[Messages]:
        """Return the first distinct prompts, at most `number` of them."""
        found: dict[str, Messages] = {}
        for row, messages in zip(self.rows, self.messages, strict=True):
            if len(found) == number:
                break
            found.setdefault(row.prompt_key, messages)
        return list(found.values())


def encode(
    demonstrations: Sequence[Demonstration], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Encoded:
    """Encode demonstrations. Long prompts lose their first tokens. Raises UnusableInput if no demonstration
    can be used.

    Demonstrations are left out for these reasons:

    - ``empty``: the prompt or the response contains no text or only control tokens.
    - ``refused_by_template``: the chat template cannot render the prompt.
    - ``response_too_long``: the response alone fills `max_length`. A truncated response would teach the
      policy not to end its answers.
    - ``repeated``: an earlier demonstration has the same prompt tokens and the same response tokens.
    """
    rows: list[Row] = []
    messages: list[Messages] = []
    left_out: Counter[str] = Counter()
    seen: set[int] = set()  # hashes, because the tokens of a million demonstrations would take gigabytes
    cut = 0
    for demonstration in demonstrations:
        if not _has_text(demonstration, tokenizer):
            left_out["empty"] += 1
            continue
        try:
            prompt = chat.encode_prompt(tokenizer, demonstration.messages)
        except chat.TemplateRefuses:
            left_out["refused_by_template"] += 1
            continue
        response = chat.encode_response(tokenizer, demonstration.response)
        room = max_length - len(response)
        if not prompt or len(response) < 2:
            left_out["empty"] += 1
        elif room < 1:
            left_out["response_too_long"] += 1
        elif (tokens := hash((tuple(prompt), tuple(response)))) in seen:
            left_out["repeated"] += 1
        else:
            seen.add(tokens)
            cut += len(prompt) > room
            rows.append(Row(prompt[-room:], response, _key_of(demonstration.messages)))
            messages.append(demonstration.messages)
    if not rows:
        too_long = left_out["response_too_long"]
        named = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "none"
        raise UnusableInput(
            f"there are no demonstrations to train on: {len(demonstrations)} given, left out: {named}"
            + (f". A response is too long if it fills all {max_length} tokens" if too_long else ""),
            FailureKind.TEXTS_TOO_LONG if too_long else FailureKind.DATA_EMPTY,
        )
    return Encoded(rows, messages, dict(left_out), cut)


def split_by_prompt(rows: Sequence[Row], heldout_share: float) -> tuple[list[Row], list[Row]]:
    """Split rows into (train, held-out) by the hash of the prompt, as `rankings.split_by_prompt` does.

    All demonstrations of a prompt are on the same side of the split. A prompt stays on its side when the data
    grows, so a prompt that is held out in one round is not trained on in the next round. If the split would
    hold out all prompts, no prompt is held out.
    """
    held_out = [is_held_out(row.prompt_key, heldout_share) for row in rows]
    if all(held_out):
        return list(rows), []
    return (
        [row for row, held in zip(rows, held_out, strict=True) if not held],
        [row for row, held in zip(rows, held_out, strict=True) if held],
    )


def _key_of(messages: Messages) -> str:
    """Return the prompt's key. Prompts that differ only in whitespace have the same key."""
    return hashlib.sha256(repr(words_of(messages)).encode()).hexdigest()


def _has_text(demonstration: Demonstration, tokenizer: PreTrainedTokenizerBase) -> bool:
    prompt = " ".join(message["content"] for message in demonstration.messages)
    return all(
        chat.remove_control_tokens(tokenizer, text).strip() for text in (prompt, demonstration.response)
    )
