"""The GPU benchmark runs on a CPU with a tiny model. Its bandwidth limit and operation count are correct."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import operations, rollouts, work
from benchmarks.gpu.operations import Lengths
from benchmarks.gpu.sections import Section, outcome_of
from benchmarks.gpu.work import Work


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_section_measures_a_tiny_model_on_a_cpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = gpu.main(["--device", "cpu", "--shape", "tiny", "--out", str(tmp_path / "gpu.json")])
    assert [one.traceback for one in outcomes] == [""] * 5
    written = json.loads((tmp_path / "gpu.json").read_text())
    sections = [one["section"] for one in written["sections"]]
    assert sections == ["machine", "rollouts", "reward model", "ppo", "cuda graphs"]
    assert (
        written["versions"]["torch"] == torch.__version__.split("+")[0] or "+" in written["versions"]["torch"]
    )
    table = capsys.readouterr().out
    for one in outcomes:
        assert one.figures
        for name, value in one.figures.items():
            assert f"| {name} |" in table
            assert isinstance(value, str) or (math.isfinite(value) and value > 0), name


def test_failed_section_is_recorded_with_its_reason_and_other_sections_run() -> None:
    def fails() -> dict[str, float | str]:
        raise RuntimeError("no kernel image is available\nfurther lines")

    def dies() -> dict[str, float | str]:
        os._exit(3)

    def hangs() -> dict[str, float | str]:
        time.sleep(60)
        return {}

    def answers() -> dict[str, float | str]:
        return {"tokens/s": 5.0}

    limits = {fails: 60.0, dies: 60.0, hangs: 0.3, answers: 60.0}
    found = [
        outcome_of(Section("test", "tiny", seconds, run), start="fork") for run, seconds in limits.items()
    ]
    assert [one.error for one in found] == [
        "RuntimeError: no kernel image is available",
        "the section's process ended without a result (exit code 3)",
        "took more than 0.3 s",
        "",
    ]
    assert found[-1].figures == {"tokens/s": 5.0}
    assert "further lines" in found[0].traceback


def test_operation_count_matches_that_of_pytorch() -> None:
    """PyTorch counts all pairs of tokens in attention, including those that the causal mask excludes."""
    sizes = work.policy_shape("tiny")
    model = work.random_policy("tiny", "cpu", torch.float32).model
    ids = torch.randint(4, 4096, (1, 24))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        torch.autograd.backward(model(input_ids=ids, use_cache=False).logits.sum())
    pairs = 4 * sizes.layers * sizes.heads * sizes.head_size * 24 * 24 / 2
    ours = operations.FULL * (
        operations.trunk_operations(sizes, [Lengths(0, [24])])
        + operations.projection_operations(sizes, [Lengths(0, [24])])
    )
    assert counter.get_total_flops() == ours + operations.FULL * pairs
    shared = operations.trunk_operations(sizes, [Lengths(100, [10, 10])])
    alone = operations.trunk_operations(sizes, [Lengths(100, [10])])
    assert shared - alone == pytest.approx(alone - operations.trunk_operations(sizes, [Lengths(100, [])]))


def test_bandwidth_limit_counts_every_byte_that_decoding_reads() -> None:
    """The limit is summed over the decoding steps. A step reads a prompt's keys and values only once for all
    answers to that prompt."""
    some = Work(prompts=3, prompt=10, samples=2, answer=5, micro_batch_tokens=64)
    expected = 0.0
    for generated in range(1, 5):
        expected += 1000 + 8 * (3 * 10 + 3 * 2 * generated)
    found = rollouts.seconds_at_bandwidth(some, weight_bytes=1000, token_bytes=8, bandwidth=100)
    assert found == pytest.approx(expected / 100)
    tied, untied = (work.random_policy("tiny", "cpu", torch.float32).model for _ in range(2))
    tied.lm_head.weight = tied.model.embed_tokens.weight
    assert rollouts.read_bytes(tied) == rollouts.read_bytes(untied)


def test_work_is_halved_until_its_estimated_memory_use_fits_the_device() -> None:
    large = work.WORK["7b"]
    found = work.fitting(large, lambda one: 20e9 + 1e9 * one.prompts, 32e9)
    assert (found.prompts, found.micro_batch_tokens) == (8, 2048)
    assert work.fitting(large, lambda one: 1e9, 32e9) == large
    with pytest.raises(
        work.DoesNotFit, match=r"one prompt needs about 31 GB, but only 90% of the free 32 GB"
    ):
        work.fitting(large, lambda one: 30e9 + 1e9 * one.prompts, 32e9)
