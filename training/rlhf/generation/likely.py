"""Answers to a few prompts, made of the most likely token at every step. These answers show people how a
policy changes during a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from training.rlhf.core.messages import Messages
from training.rlhf.core.sharding import is_sharded, stopping_together
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion
from training.rlhf.models.forward.sharding import complete_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat


def likely_answers(
    policy: Loaded, prompts: Sequence[list[int]], *, max_tokens: int, check: Callable[[], None]
) -> list[Completion]:
    """Answer each prompt, given as token IDs, with the most likely token at every step. An answer has at most
    `max_tokens` tokens and fits into the context. `check` can raise an exception to stop the generation. If
    the policy is sharded, all processes must call this function."""
    if not prompts:
        return []
    room = min(max_tokens, chat.context_length(policy.model) - 1)
    with complete_model(policy.model) as model, stopping_together(sharded=is_sharded(policy.model)):
        rows = generate(model, policy.tokenizer, prompts, max_new_tokens=room, temperature=0, check=check)
    return [row[0] for row in rows]


def likely_texts(
    policy: Loaded, prompts: Sequence[Messages], *, max_tokens: int, check: Callable[[], None]
) -> list[str]:
    """Answer conversations as `likely_answers` does, and return the texts of the answers."""
    encoded = [chat.encode_prompt(policy.tokenizer, messages) for messages in prompts]
    found = likely_answers(policy, encoded, max_tokens=max_tokens, check=check)
    return [chat.decode(policy.tokenizer, one.content) for one in found]
