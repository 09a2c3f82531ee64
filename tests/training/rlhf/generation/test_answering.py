"""Answers to many prompts are reproducible, refused prompts are counted, and generation reports its progress
and can be cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import Cancelled
from training.rlhf.generation import pulse
from training.rlhf.generation.answering import Answered, answers_to
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.engines import LocalEngine
from training.rlhf.generation.evaluation import evaluate
from training.rlhf.generation.interface import Sampling
from training.rlhf.generation.prompts import batches_of_usable, encode_prompts
from training.rlhf.generation.sampling import sample
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.answers import EvaluateConfig, SampleConfig

torch.set_num_threads(1)
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}{{ m['content'] }} {% endfor %}"
)
REFUSED = [{"role": "system", "content": "w9"}]
PROMPTS = [[{"role": "user", "content": tiny.words(3, n)}] for n in range(9)]


def policy() -> Loaded:
    words = tiny.tokenizer()
    words.chat_template = NO_SYSTEM
    return Loaded(tiny.policy(), words)


def batches(prompts: Sequence[Messages] = PROMPTS, **changes: Any) -> Iterator[Answered]:
    settings: dict[str, Any] = {"prompts_per_batch": 4, "seed": 0, "check": lambda: None}
    sampling = Sampling(8, changes.pop("n", 2))
    return answers_to(
        prompts, policy=policy(), engine=LocalEngine(), sampling=sampling, **(settings | changes)
    )


def ids_of(prompts: Sequence[Messages] = PROMPTS, **changes: Any) -> list[list[int]]:
    return [one.ids for batch in batches(prompts, **changes) for one in batch.completions]


def test_answers_do_not_depend_on_the_batch_size_or_on_other_prompts() -> None:
    expected = ids_of()
    assert ids_of(prompts_per_batch=1) == ids_of(prompts_per_batch=100) == expected
    assert ids_of([*PROMPTS[:3], REFUSED, *PROMPTS[4:]]) == expected[:6] + expected[8:]


def test_random_numbers_differ_by_seed_and_batch_and_purpose() -> None:
    """All prompts are equal, so equal random numbers would lead to equal answers. With `seed + step` as a
    batch's seed, the second batch of seed 0 and the first batch of another seed would share random
    numbers."""
    same = [PROMPTS[0]] * 8
    runs = [ids_of(same, n=1, seed=seed) for seed in range(8)] + [ids_of(same, n=1, purpose="evaluate")]
    answers = [tuple(ids) for run in runs for ids in run]
    assert len(set(answers)) == len(answers) == 72
    model, words = policy()
    ids = chat.encode_prompt(words, PROMPTS[0])
    made = [generate(model, words, [ids] * 3, max_new_tokens=8, seed=seed) for seed in range(6)]
    assert len({tuple(one.ids) for run in made for [one] in run}) == 18


def test_refused_prompts_are_counted_and_left_out() -> None:
    prompts = [REFUSED, *PROMPTS[:4], REFUSED, *PROMPTS[4:8], REFUSED, REFUSED]
    found = list(batches(prompts))
    assert [batch.refused for batch in found] == [2, 2]
    assert [one for batch in found for one in batch.prompts] == PROMPTS[:8]
    report = ListReporter()
    sampled = sample(SampleConfig(max_new_tokens=4), policy=policy(), prompts=prompts, report=report)
    assert (sampled.refused, len(sampled.prompts)) == (4, 8)
    assert report.progress_rows[-1] == ("sample", 12, 12)
    evaluated = evaluate(
        EvaluateConfig(max_new_tokens=4),
        policy=policy(),
        prompts=prompts,
        judge=lambda *_: 1.0,
        report=report,
    )
    assert (evaluated.refused, evaluated.n) == (4, 8)
    assert report.progress_rows[-1] == ("evaluate", 12, 12)


def test_prompts_that_render_as_an_empty_string_are_refused() -> None:
    prompts = [*PROMPTS[:2], [{"role": "user", "content": ""}]]
    assert encode_prompts(policy().tokenizer, prompts, limit=9).refused == 1


@pytest.mark.parametrize("prompts", [[], [REFUSED] * 9])
def test_run_fails_only_if_no_prompt_is_usable(prompts: list[Messages]) -> None:
    with pytest.raises(UnusableInput, match="no prompts to answer") as caught:
        list(batches(prompts))
    assert ("all 9 were refused" in str(caught.value)) == bool(prompts)


def test_only_one_batch_of_prompts_is_encoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    encode = chat.encode_prompt

    def counting(*given: Any) -> list[int]:
        nonlocal encoded
        encoded += 1
        return encode(*given)

    monkeypatch.setattr(chat, "encode_prompt", counting)
    million = _Million()
    found = batches_of_usable(policy().tokenizer, million, limit=9, size=4)
    assert next(found).positions == [0, 1, 2, 3]
    assert next(found).positions == [4, 5, 6, 7]
    assert encoded == 9


class _Million(Sequence[Messages]):
    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: Any) -> Any:
        return PROMPTS[index % 9]


def test_progress_is_reported_and_a_running_batch_can_be_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulse, "PULSE_SECONDS", 0.0)
    model, words = policy()
    ids = [chat.encode_prompt(words, messages) for messages in PROMPTS]
    heard: list[tuple[int, int]] = []
    generate(model, words, ids, n=2, max_new_tokens=8, progress=lambda *pair: heard.append(pair))
    done = [answers for answers, _ in heard]
    assert {total for _, total in heard} == {18}
    assert done == sorted(done)
    assert len(set(done)) > 5
    report = ListReporter(cancel_after=4)  # `check` is called before the batch and before each layer
    with pytest.raises(Cancelled):
        generate(model, words, ids, max_new_tokens=8, check=report.check)
    assert not any(layer._forward_pre_hooks for layer in model.model.layers)
    report = ListReporter()
    sample(SampleConfig(max_new_tokens=8), policy=policy(), prompts=PROMPTS, report=report)
    assert len({step for _, step, _ in report.progress_rows}) > 3


def test_progress_is_not_reported_more_often_than_every_two_seconds() -> None:
    report = ListReporter()
    sample(SampleConfig(max_new_tokens=8), policy=policy(), prompts=PROMPTS, report=report)
    assert report.progress_rows == [("sample", 9, 9)]
    assert report.series("tokens_per_second")[0] > 0
