"""A step whose micro-batches don't fit into memory continues with smaller micro-batches."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.ppo.test_ppo import PROMPTS, config_of, reward_model
from training.rlhf.core.memory import is_out_of_memory
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import dpo, ppo, rloo
from training.rlhf.recipes.dpo import DPOConfig
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.recipes.rloo import RLOOConfig
from training.rlhf.rollouts import steps

LIMIT = 60  # token positions that the device can train on at once


class Limited(torch.autograd.Function):
    """The identity function. Its backward pass fails, as on a GPU without enough memory, after some gradients
    have been added."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor) -> torch.Tensor:
        ctx.places = states.shape[0] * states.shape[1]
        return states.view_as(states)

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> torch.Tensor:
        if ctx.places > LIMIT:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return given[0]


def policy(*, limited: bool) -> Loaded:
    model = tiny.policy()
    if limited:
        model.model.embed_tokens.register_forward_hook(lambda module, given, out: Limited.apply(out))  # type: ignore[no-untyped-call]
    return Loaded(model, tiny.tokenizer())


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reward_model(tmp_path_factory.mktemp("judge"))


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_step_halves_its_micro_batches_and_computes_the_same_update(
    method: str, judge: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config_of(
        steps=2, epochs=2, minibatches=2, critic_warmup_steps=0, micro_batch_tokens=10_000, samples=0
    ).model_dump()
    config: Any = PPOConfig.model_validate(settings)
    train: Any = ppo.train
    if method == "rloo":
        kept = {name: value for name, value in settings.items() if name in RLOOConfig.model_fields}
        config, train = RLOOConfig.model_validate(kept), rloo.train
    reports, weights = [ListReporter(), ListReporter()], []
    for limited, report in zip((False, True), reports, strict=True):
        model = policy(limited=limited)
        with caplog.at_level(logging.WARNING):
            train(
                config, policy=model, reward_model=judge, prompts=PROMPTS,
                out_dir=tmp_path / str(limited), report=report,
            )  # fmt: skip
        weights.append(torch.cat([one.detach().flatten() for one in model.model.parameters()]))
    whole, halved = reports
    assert "The run continues with at most" in caplog.text
    assert "micro_batch_tokens" not in whole.metric_rows[0][1]
    [first, second] = halved.series("micro_batch_tokens")
    assert LIMIT / 2 < first <= 2 * LIMIT
    assert second <= first  # later steps respect the limit
    for name in ("loss/policy_avg", "grad_norm/policy", "policy/approxkl_avg"):
        assert halved.series(name) == pytest.approx(whole.series(name), abs=1e-4), name
    torch.testing.assert_close(weights[1], weights[0], atol=1e-4, rtol=0)
    # In the step that ran out of memory, sums are rounded differently.
    assert max(halved.series("val/first_log_ratio")) < 1e-5
    assert halved.series("val/first_log_ratio")[1] == 0.0


def test_single_row_that_does_not_fit_ends_the_run(judge: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(globals(), "LIMIT", 1)
    config = config_of(steps=1, critic_warmup_steps=0, samples=0)
    with pytest.raises(torch.OutOfMemoryError):
        ppo.train(config, policy=policy(limited=True), reward_model=judge, prompts=PROMPTS, out_dir=tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        torch.AcceleratorError(
            "CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in https://…"
        ),
        # After a failed allocation, NVML could not determine how much memory the GPU has.
        RuntimeError(
            'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":995, please '
            "report a bug to PyTorch."
        ),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_errors_of_every_type_are_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_errors_of_the_cpu_allocator_are_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as other:
        torch.ones(2, 3) @ torch.ones(2, 3)
    assert not is_out_of_memory(other.value)


def test_preference_step_halves_its_micro_batches_without_changing_the_update(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rankings = [
        Ranking(tuple(PROMPTS[n]), (tiny.words(n, 3, 4), tiny.words(5, n, 7, 8)), ((1,), (0,)))
        for n in range(16)
    ]
    config = DPOConfig(epochs=1, batch_rankings=8, heldout_fraction=0.0, sample_prompts=0, learning_rate=1e-3)
    reports, weights = [ListReporter(), ListReporter()], []
    for limited, report in zip((False, True), reports, strict=True):
        model = policy(limited=limited)
        with caplog.at_level(logging.WARNING):
            dpo.train(
                config, base_model=model, rankings=rankings, out_dir=tmp_path / str(limited), report=report
            )
        weights.append(torch.cat([one.detach().flatten() for one in model.model.parameters()]))
    # The warning is not repeated in every step.
    assert caplog.text.count("The run continues with at most") in (1, 2)
    for name in ("loss", "grad_norm", "rewards/margins"):
        assert reports[1].series(name) == pytest.approx(reports[0].series(name), abs=1e-4), name
    torch.testing.assert_close(weights[1], weights[0], atol=1e-4, rtol=0)


def test_limit_never_rises_and_ignores_rows_that_cannot_be_divided() -> None:
    """The longest row alone exceeds the limit. Half of this row's length would be a higher limit than the
    current one."""

    @dataclass
    class Rows:
        lengths: list[int]

        @property
        def size(self) -> int:
            return len(self.lengths)

        @property
        def places(self) -> int:
            return sum(self.lengths)

        def halves(self, models: Any, rollout: Any) -> list[Rows]:
            middle = len(self.lengths) // 2
            return [Rows(one) for one in (self.lengths[:middle], self.lengths[middle:]) if one]

    def add_gradients(parts: Sequence[Rows]) -> str:
        if any(part.size > 1 and part.places > 1000 for part in parts):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    models = SimpleNamespace(actor=torch.nn.Linear(1, 1))
    state: Any = SimpleNamespace(micro_batch_tokens=2048, optimisers={}, models=models)
    batch: Any = SimpleNamespace(
        rollout=SimpleNamespace(step=1), minibatches=[[Rows([5000]), Rows([500, 500, 500, 500])]]
    )
    assert steps.within_memory(state, batch, 0, add_gradients) == "done"
    assert state.micro_batch_tokens == 1000
    assert batch.minibatches == [[Rows([5000]), Rows([500, 500]), Rows([500, 500])]]
