"""Generate a policy's answers to many prompts, batch by batch. Sampling, evaluation and rejection sampling
use this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from training.rlhf.core.messages import Messages
from training.rlhf.generation.decoding import Completion, generate
from training.rlhf.models import chat
from training.rlhf.models.loading import Loaded


@dataclass(frozen=True)
class Answered:
    """A batch of prompts with their tokens and answers. `cut` is the number of prompts that were truncated on
    the left."""

    prompts: Sequence[Messages]
    encoded: list[list[int]]
    answers: list[list[Completion]]
    cut: int

    @property
    def completions(self) -> list[Completion]:
        return [completion for completions in self.answers for completion in completions]


def answers_to(
    prompts: Sequence[Messages],
    *,
    policy: Loaded,
    n: int,
    prompts_per_batch: int,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    check: Callable[[], None],
) -> Iterator[Answered]:
    """Yield `n` answers to each prompt, in the order of the prompts. The other settings are passed to
    `generate`.

    `check` is called before each batch and can raise an exception to stop. Raises `ValueError` if
    `max_new_tokens` leaves no room for a prompt.
    """
    room = chat.context_length(policy.model) - max_new_tokens
    for start in range(0, len(prompts), prompts_per_batch):
        check()
        chosen = prompts[start : start + prompts_per_batch]
        encoded, cut = chat.cut_prompts(
            [chat.encode_prompt(policy.tokenizer, messages) for messages in chosen], room
        )
        answers = generate(
            policy.model,
            policy.tokenizer,
            encoded,
            n=n,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed + start,
            check=check,
        )
        yield Answered(chosen, encoded, answers, cut)
