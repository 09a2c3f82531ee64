"""Greedy and seeded decoding give the token IDs of `model.generate`, for prompts of different lengths."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from tests.training.rlhf import tiny
from training.rlhf.core.seeds import seed_for
from training.rlhf.generation import decoding
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.picking import uniform_numbers

torch.set_num_threads(1)
WORDS = tiny.tokenizer()
N, TOKENS, SEED = 3, 20, 4
PROMPTS = [[2, *range(5, 5 + length)] for length in (1, 30, 4, 11, 7)]


class InverseCDF(LogitsProcessor):
    """Leaves only the token whose interval of the cumulative distribution contains the row's next
    random number."""

    def __init__(self, uniform: np.ndarray[Any, Any], *, known: int, temperature: float) -> None:
        self.uniform, self.known, self.temperature, self.step = uniform, known, temperature, 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores[:, : self.known].double().numpy() / self.temperature
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        only = torch.full_like(scores, -torch.inf)
        for row, numbers in enumerate(self.uniform):
            only[row, int(np.argmax(shares[row].cumsum() > numbers[self.step]))] = 0
        self.step += 1
        return only


@cache
def models() -> dict[str, PreTrainedModel]:
    return {name: make(seed=1) for name, make in tiny.POLICIES.items()}


def theirs(
    model: PreTrainedModel, prompt: list[int], limit: int, uniform: torch.Tensor | None = None
) -> list[list[int]]:
    """The answers of `model.generate` to one prompt, each without the padding after its EOS."""
    ids = torch.tensor([prompt] * (1 if uniform is None else len(uniform)))
    processors = LogitsProcessorList()
    if uniform is not None:
        processors.append(InverseCDF(uniform.numpy(), known=len(WORDS), temperature=1.3))
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limit,
        logits_processor=processors,
    )
    answers = made[:, len(prompt) :].tolist()
    return [answer[: answer.index(1) + 1] if 1 in answer else answer for answer in answers]


@pytest.mark.parametrize("name", tiny.POLICIES)
def test_greedy_answers_have_the_same_ids_as_in_transformers(name: str) -> None:
    model = models()[name]
    ours = generate(model, WORDS, PROMPTS, max_new_tokens=TOKENS, temperature=0)
    expected = [theirs(model, prompt, TOKENS) for prompt in PROMPTS]
    assert [[one.ids for one in group] for group in ours] == expected
    context = model.config.max_position_embeddings
    full = [2, *range(5, 60), *range(5, 60)]
    [[last]] = generate(model, WORDS, [full], max_new_tokens=context - len(full), temperature=0)
    assert [last.ids] == theirs(model, full, context - len(full))


@pytest.mark.parametrize("name", tiny.POLICIES)
def test_samples_with_equal_random_numbers_have_the_same_ids_as_in_transformers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "FINISHED_SHARE", 0.01)  # finished rows are removed after every token
    model = models()[name]
    ours = generate(
        model, WORDS, PROMPTS, n=N, max_new_tokens=TOKENS, temperature=1.3, seed=SEED, rows_per_batch=9
    )
    expected = [
        theirs(model, prompt, TOKENS, uniform_numbers(seed_for(SEED, "generate", number), N, TOKENS))
        for number, prompt in enumerate(PROMPTS)
    ]
    assert [[one.ids for one in group] for group in ours] == expected
    answers = [one for group in ours for one in group]
    assert all(one.finished == (one.ids[-1] == WORDS.eos_token_id) for one in answers)


def test_samples_end_at_different_lengths() -> None:
    """Because of these different lengths, the previous test covers rows that are removed early."""
    lengths = set()
    for name in tiny.POLICIES:
        answers = generate(
            models()[name], WORDS, PROMPTS, n=N, max_new_tokens=TOKENS, temperature=1.3, seed=SEED
        )
        lengths |= {len(one.ids) for group in answers for one in group}
    assert min(lengths) < 8
    assert max(lengths) == TOKENS
