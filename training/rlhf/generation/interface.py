"""The interface for generation. Through an `Engine`, loops get the answers that they train on, evaluate or
store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from training.rlhf.models.loading.sources import Loaded


class Completion(NamedTuple):
    """One sampled answer. If `finished`, `ids` ends with the stop token that was sampled (see
    `chat.stop_ids`). Otherwise, the answer was truncated at the length limit.

    `log_probs` are the log-probabilities of `ids` as the engine computed them, at the sampling temperature.
    An engine that computes with the policy's own weights in this process omits the log-probabilities.
    """

    ids: list[int]
    finished: bool
    log_probs: list[float] | None = None

    @property
    def content(self) -> list[int]:
        """The IDs without the stop token, for decoding. A stop token that the tokenizer doesn't mark as
        special would appear in the text."""
        return self.ids[:-1] if self.finished else self.ids

    def ended(self, eos: int) -> list[int]:
        """Return the IDs with exactly one EOS at the end, for scoring and imitation. EOS replaces the sampled
        stop token and is appended to a truncated answer. Reward models and policies are trained on answers
        that end with EOS. At any other stop token, a reward model's score is meaningless."""
        return [*self.content, eos]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are sampled: `n` answers per prompt, of at most `max_new_tokens` tokens each.

    A `temperature` of 0 always selects the most likely token. If `top_p` is below 1, only the most likely
    tokens are sampled: the smallest set whose probabilities add up to at least `top_p`.
    """

    max_new_tokens: int
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        n, limit, temperature, top_p = self.n, self.max_new_tokens, self.temperature, self.top_p
        if n < 1 or limit < 1:
            raise ValueError(f"n and max_new_tokens must be at least 1, got {n} and {limit}")
        if temperature < 0 or not 0 < top_p <= 1:
            raise ValueError(f"temperature must be >= 0 and top_p in (0, 1], got {temperature} and {top_p}")


class Engine(Protocol):
    """Samples answers from a policy.

    An implementation guarantees the following:

    - The answers come from the weights that `policy` has at the time of the call. An engine in another
      process first loads the weights if they have changed.
    - There are `sampling.n` answers to each prompt, in the order of the prompts. Only `sampling` changes the
      policy's distribution. IDs without text are never sampled, unless they are stop tokens
      (`chat.stop_ids`, `chat.id_limit`).
    - An answer is determined by the weights, the prompt, its seed and `sampling`. It does not depend on the
      other prompts or on how prompts are batched. A local engine returns the same IDs in every call. If an
      engine can't guarantee this, it passes the seed to its server, and returns `log_probs`.
    - A prompt that leaves no room for `max_new_tokens` in the context loses its first tokens
      (`chat.cut_prompts`).
    - `check` is called before the first prompt and every few seconds. It can raise an exception to stop the
      generation. `progress` is called every few seconds with the number of answers so far and the total
      number.
    - Raises ValueError for an empty prompt. An error leaves the policy as it was, and a second call with the
      same arguments returns the same answers.
    """

    def generate(
        self,
        policy: Loaded,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[list[Completion]]:
        """Sample answers to prompts, given as token IDs. There is one seed per prompt (`core.seeds`)."""
