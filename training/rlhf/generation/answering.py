"""Generate a policy's answers to many prompts, batch by batch. Sampling, evaluation and rejection sampling
use this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from training.rlhf.core.messages import Messages
from training.rlhf.core.seeds import seed_for
from training.rlhf.generation.interface import Completion, Engine, Sampling
from training.rlhf.generation.prompts import batches_of_usable
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat


@dataclass(frozen=True)
class Answered:
    """A batch of usable prompts with their tokens and answers.

    `cut` is the number of prompts in the batch that lost their first tokens to fit the context. `refused` is
    the number of prompts that the chat template has refused since the previous batch. These prompts are not
    in `prompts`. `seconds` is the time that the generation of the answers took.
    """

    prompts: Sequence[Messages]
    encoded: list[list[int]]
    answers: list[list[Completion]]
    cut: int
    refused: int
    seconds: float

    @property
    def completions(self) -> list[Completion]:
        return [completion for completions in self.answers for completion in completions]

    @property
    def tokens(self) -> int:
        """The number of generated tokens, including stop tokens."""
        return sum(len(completion.ids) for completion in self.completions)

    def metrics(self) -> dict[str, float]:
        """The metrics of the batch's answers: the mean number of tokens, the share of answers that were not
        truncated at the length limit, and the number of generated tokens per second."""
        completions = self.completions
        return {
            "mean_tokens": self.tokens / len(completions),
            "finished_share": sum(one.finished for one in completions) / len(completions),
            "tokens_per_second": self.tokens / self.seconds,
        }


def answers_to(
    prompts: Sequence[Messages],
    *,
    policy: Loaded,
    engine: Engine,
    sampling: Sampling,
    prompts_per_batch: int,
    seed: int,
    purpose: str = "answers",
    check: Callable[[], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Answered]:
    """Yield the answers of `engine`, in the order of the prompts. Prompts are encoded one batch at a time, so
    memory does not grow with their number.

    An answer is determined by `seed`, `purpose`, the prompt and its position in `prompts`. The answer does
    not depend on `prompts_per_batch`. Two runs with the same seed and different purposes use different random
    numbers.

    Prompts that the chat template refuses are left out and counted. `check` is called before each batch and
    every few seconds, and can raise an exception to stop the generation. `progress` is called after each
    batch and every few seconds, with the number of completed prompts and the total number. Raises
    `UnusableInput` if `max_new_tokens` leaves no room for a prompt, or if no prompt is usable.
    """
    room = chat.context_length(policy.model) - sampling.max_new_tokens
    total = len(prompts)
    behind = 0  # number of prompts in earlier batches, answered or refused
    for batch in batches_of_usable(policy.tokenizer, prompts, limit=room, size=prompts_per_batch):
        check()
        started = time.perf_counter()
        answers = engine.generate(
            policy,
            batch.ids,
            sampling,
            seeds=[seed_for(seed, purpose, position) for position in batch.positions],
            check=check,
            progress=partial(_report_prompts, progress, behind, sampling.n, total),
        )
        seconds = time.perf_counter() - started
        behind += len(batch.ids) + batch.refused
        yield Answered(batch.messages, batch.ids, answers, batch.cut, batch.refused, seconds)
        progress(behind, total)


def _report_prompts(
    progress: Callable[[int, int], None], behind: int, n: int, total: int, answers: int, _: int
) -> None:
    progress(behind + answers // n, total)
