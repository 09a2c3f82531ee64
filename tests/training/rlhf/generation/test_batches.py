"""Batches stay within the memory limit for keys and values. Answers don't depend on the division
into batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from training.rlhf.generation import batches, decoding
from training.rlhf.generation.batches import Batch, Batches, Limits
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.engines import open_engine
from training.rlhf.generation.forward import ForwardBatch
from training.rlhf.generation.interface import Sampling
from training.rlhf.generation.llama.rows import LlamaBatch
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.recipes.answers import SampleConfig

torch.set_num_threads(1)
WORDS = tiny.tokenizer()
PROMPTS = [[2, *range(5, 5 + length)] for length in (3, 40, 3, 11, 7, 20, 4, 9)]
KINDS = {"llama": (tiny.policy, LlamaBatch), "neox": (tiny.neox_policy, ForwardBatch)}


class Watched:
    """Records the size of the keys and values, in bytes, and the number of rows of each batch. A batch of
    more than `most` rows runs out of memory after its first token."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type[Any], most: int = 1000) -> None:
        self.bytes: list[int] = []
        self.rows: list[int] = []
        read, step = kind.read, kind.step

        def watched_read(batch: Any, beat: Any) -> torch.Tensor:
            logits: torch.Tensor = read(batch, beat)
            self.bytes.append(batch.cache_bytes)
            self.rows.append(len(logits))
            return logits

        def watched_step(batch: Any, tokens: torch.Tensor) -> torch.Tensor:
            if self.rows[-1] > most and len(tokens) == self.rows[-1]:
                torch.empty(2**60, dtype=torch.int8)
            found: torch.Tensor = step(batch, tokens)
            return found

        monkeypatch.setattr(kind, "read", watched_read)
        monkeypatch.setattr(kind, "step", watched_step)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("n", [1, 4])
def test_keys_and_values_stay_within_the_budget(name: str, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make, kind = KINDS[name]
    model = make()
    expected = generate(model, WORDS, PROMPTS, n=n, max_new_tokens=12)
    watched = Watched(monkeypatch, kind)
    widest = 4 * 53 * (256 if name == "llama" else 512)  # four samples of the longest prompt
    assert generate(model, WORDS, PROMPTS, n=n, max_new_tokens=12, cache_bytes=widest) == expected
    assert max(watched.bytes) <= widest
    assert max(watched.bytes) > widest / 2
    assert 1 < len(watched.rows) < len(PROMPTS)
    watched.bytes.clear()
    small = widest // 4  # the samples of the longest prompt don't fit into one batch
    assert generate(model, WORDS, PROMPTS, n=n, max_new_tokens=12, cache_bytes=small) == expected
    assert max(watched.bytes) <= small


@pytest.mark.parametrize("name", KINDS)
def test_run_continues_with_half_the_batch_size_if_memory_is_exhausted(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make, kind = KINDS[name]
    model = make()
    expected = generate(model, WORDS, PROMPTS, n=3, max_new_tokens=12)
    watched = Watched(monkeypatch, kind, most=2)
    assert generate(model, WORDS, PROMPTS, n=3, max_new_tokens=12) == expected
    assert watched.rows[:4] == [24, 12, 6, 3]
    assert max(watched.rows[4:]) <= 2
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
    assert "Out of memory while 24 answers were generated together" in caplog.text


def test_error_is_raised_if_a_single_row_exhausts_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    Watched(monkeypatch, LlamaBatch, most=0)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        generate(tiny.policy(), WORDS, PROMPTS, max_new_tokens=4)


def test_batches_group_prompts_of_similar_length_and_start_with_the_longest() -> None:
    limits = Limits(cache_bytes=100 * (40 + 2 * 12), rows=100, token_bytes=100, shared=True)
    work, cut = Batches([len(prompt) - 1 for prompt in PROMPTS], n=2, room=12), []
    while work.left:
        cut.append(work.take(limits))
    assert cut == [
        Batch([1], range(2)),
        Batch([5], range(2)),
        Batch([3], range(2)),
        Batch([7], range(2)),
        Batch([4, 6], range(2)),
        Batch([0, 2], range(2)),
    ]


def test_recipe_limits_the_memory_of_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, seeds = Loaded(tiny.policy(), WORDS), list(range(len(PROMPTS)))
    sampling = Sampling(12, n=2, temperature=1.5)
    expected = generate(*policy, PROMPTS, n=2, max_new_tokens=12, temperature=1.5, seed=seeds)
    watched = Watched(monkeypatch, LlamaBatch)
    engine = open_engine(SampleConfig(generation_memory=2e-5))
    assert engine.generate(policy, PROMPTS, sampling, seeds=seeds) == expected
    assert max(watched.bytes) <= 20_000
    assert len(watched.rows) > 4


def test_default_memory_limit_is_a_share_of_the_free_memory() -> None:
    free = batches.free_memory(torch.device("cpu"))
    limits = batches.default_limits(
        torch.device("cpu"), vocabulary=151_936, token_bytes=1, shared=True, cache_bytes=None
    )
    assert 2**26 < free < 2**50
    assert limits.cache_bytes == pytest.approx(free * batches.CPU_SHARE, rel=0.2)
    assert limits.rows == 256
    assert decoding.CPU_STRIDE == 1
