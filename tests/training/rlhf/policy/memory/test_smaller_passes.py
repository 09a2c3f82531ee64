"""Every kind of run continues with smaller passes if the device runs out of memory, and the result of the run
doesn't change."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import (
    LOOPS,
    PROMPTS,
    Scene,
    build_scene,
    by_reward_model,
    stored,
)
from training.rlhf.core.alive import counted, counted_parts, counting
from training.rlhf.core.memory import until_it_fits
from training.rlhf.data.demonstrations import Row
from training.rlhf.data.packing import Packing
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.policy import sft
from training.rlhf.recipes.sft import SFTConfig
from training.rlhf.reward.scoring import score

torch.set_num_threads(1)

LIMIT = 26  # token positions that fit on the device; a ranking of three responses has at most 20


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@contextmanager
def small_device(limit: int = LIMIT) -> Iterator[list[int]]:
    """A device on which a forward pass of more than `limit` token positions runs out of memory. Yields a list
    with the sizes of all other passes."""
    sizes: list[int] = []

    def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, nn.Embedding) and given[0].ndim == 2:
            if given[0].numel() > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            sizes.append(given[0].numel())

    handle = register_module_forward_pre_hook(hook)  # type: ignore[no-untyped-call]
    try:
        yield sizes
    finally:
        handle.remove()


KINDS = LOOPS | {"reward_model": by_reward_model}
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"heldout_share": 0.5, "epochs": 2},
    "dpo": {"heldout_fraction": 0.5, "epochs": 2},
    "rejection_sampling": {"rounds": 2, "sample_tokens": 3},
    "rloo": {"steps": 1, "samples": 4, "rollout_prompts": 6},
    "ppo": {"steps": 1, "samples": 4, "rollout_prompts": 6},
}


@pytest.mark.parametrize("kind", KINDS)
def test_run_on_a_small_device_has_the_same_result_as_on_a_large_device(
    kind: str, scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"learning_rate": 1e-4} | SETTINGS.get(kind, {})
    reports = [ListReporter(), ListReporter()]
    whole, expected = KINDS[kind](scene, scene.base, tmp_path / "whole", reports[0], **settings)
    with small_device() as sizes, caplog.at_level(logging.WARNING):
        halved, found = KINDS[kind](scene, scene.base, tmp_path / "halved", reports[1], **settings)
    assert max(sizes) <= LIMIT
    before, after = stored(whole), stored(halved)
    assert max(float((before[name] - after[name]).abs().max()) for name in before) < 2e-5
    assert [step for step, _ in reports[0].metric_rows] == [step for step, _ in reports[1].metric_rows]
    lowered = reports[1].series("micro_batch_tokens")
    assert lowered, "the metrics contain the lower limit"
    assert 1 < lowered[-1] < 2 * LIMIT  # a pass within a higher limit can happen to fit on the device
    assert lowered == sorted(lowered, reverse=True)
    assert "Out of memory in " in caplog.text
    # Once the limit has been lowered, later steps don't run out of memory again.
    assert caplog.text.count("Out of memory in step") <= 3
    names = set(expected) & set(found) - {"tokens_per_second", "padding_share", "micro_batch_tokens"}
    for name in (one for one in names if not one.startswith("seconds/")):
        assert found[name] == pytest.approx(expected[name], abs=1e-4, rel=1e-4), name


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None])


@pytest.mark.parametrize("packing", ["auto", "off"])
def test_gradients_of_a_halved_batch_equal_those_of_the_whole_batch(packing: Packing) -> None:
    rows = [Row([2, 5, n], [n + 1, n + 2, 1][n % 3 :]) for n in range(6, 18)]
    config = SFTConfig(packing=packing)
    found = []
    for limit in (10_000, 14):
        model = tiny.policy()
        progress = sft.FitProgress(micro_batch_tokens=config.micro_batch_tokens)
        with small_device(limit):
            loss, _ = sft.add_gradients(
                config,
                model,
                tiny.tokenizer(),
                rows,
                progress=progress,
                optimisers=[sft.new_optimizer(model, config)],
            )
        found.append((loss, gradients(model), progress.micro_batch_tokens))
    (loss, whole, _), (same, halved, limit) = found
    assert limit <= 14
    assert same == pytest.approx(loss, abs=1e-6)
    assert (whole - halved).abs().max() < 1e-6


def test_single_row_that_does_not_fit_into_memory_ends_the_run() -> None:
    model, config = tiny.policy(), SFTConfig()
    rows = [Row([2, 5, n], [n + 1, n + 2, 1]) for n in range(6, 12)]
    with small_device(5), pytest.raises(torch.OutOfMemoryError):
        sft.add_gradients(config, model, tiny.tokenizer(), rows)


def test_scoring_that_runs_out_of_memory_divides_prompts_and_their_responses(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    items = [(prompt, [tiny.words(n, k) for k in range(9)]) for n, prompt in enumerate(PROMPTS)]
    expected = score(*load_reward_model(scene.whole_judge), items)
    model = load_reward_model(scene.whole_judge)
    with small_device() as sizes, caplog.at_level(logging.WARNING):
        found = score(*model, items)
        warnings = caplog.text.count("Out of memory in scoring")
        score(*model, items)
    assert max(sizes) <= LIMIT
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    assert warnings > 0
    assert caplog.text.count("Out of memory in scoring") == warnings  # the model keeps its limit


def test_repeated_work_is_counted_once() -> None:
    state = sft.FitProgress(micro_batch_tokens=100)

    def work() -> int:
        counted(3)
        if state.micro_batch_tokens > 20:
            raise MemoryError
        return state.micro_batch_tokens

    with counting(10, "rows"):
        counted(2)
        largest = iter([60, 60, 30, 30]).__next__
        assert until_it_fits(work, state, largest=largest, what="a test") == 15
        assert counted_parts() == 5
