"""Training and decoding on a GPU. These tests need only the packages of the training library, not Django or a
database. The command that runs them is in docs/gpu.md.

Runs with different precisions or devices can sample different tokens, because rounding changes the
probabilities. Tests that compare two precisions or devices therefore use the same answers for both.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import ppo as measuring_ppo
from benchmarks.gpu import reward_model as measuring_reward_model
from benchmarks.gpu.machine import MATMUL, Device
from benchmarks.gpu.work import Work, draw_tokens, encoded_prompts, random_policy, random_reward_model
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.policy.memory.adapted import (
    LOOPS,
    LORA,
    PROMPTS,
    ROLLOUTS,
    Scene,
    build_scene,
    stored,
)
from training.rlhf.core.reporter import Cancelled
from training.rlhf.generation.decoding import generate
from training.rlhf.generation.interface import Completion
from training.rlhf.models.loading import opening
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import ppo
from training.rlhf.recipes.ppo import PPOConfig
from training.rlhf.rollouts.rollout import load_models, usable_prompts

DEVICE: Device = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
STEP: dict[str, Any] = ROLLOUTS | {"critic_warmup_steps": 0, "learning_rate": 1e-3, "max_new_tokens": 8}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return build_scene(tmp_path_factory.getbasetemp() / "adapters")


@dataclass(frozen=True)
class Answered:
    """An engine that returns these answers."""

    answers: list[list[Completion]]

    def generate(self, policy: Loaded, prompts: Sequence[Sequence[int]], *_: Any, **__: Any) -> Any:
        assert len(prompts) == len(self.answers)
        return self.answers


def first_step(
    scene: Scene, answers: list[list[Completion]] | None = None, **settings: Any
) -> tuple[dict[str, float], list[list[Completion]]]:
    """The metrics of the first step of PPO, and the answers that the step used."""
    config = PPOConfig.model_validate(STEP | settings)
    judge = scene.judge if config.use_peft else scene.whole_judge
    models = load_models(scene.base, {"reward": judge}, config)
    if answers is not None:
        models = replace(models, engine=Answered(answers))
    state = ppo.new_state(config, models)
    batch = ppo.roll_out(config, state, usable_prompts(config, models, PROMPTS))
    assert state.models.actor.device.type == opening.default_device().type
    return ppo.update(config, state, batch), batch.rollout.answers


COMPARED = ("objective/scores", "loss/policy_avg", "loss/value_avg", "policy/entropy_avg", "grad_norm/policy")


@pytest.mark.parametrize("settings", [{}, {"use_peft": True, "lora_r": 4}], ids=["all weights", "adapter"])
def test_step_of_ppo_gives_the_same_figures_on_a_gpu_and_on_a_cpu(
    settings: dict[str, Any], scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to the same prompt share a flat row on a CPU and a packed row on a GPU."""
    ours, answers = first_step(scene, **settings)
    monkeypatch.setattr(opening, "default_device", lambda: torch.device("cpu"))
    expected, _ = first_step(scene, answers, **settings)
    for name in COMPARED:
        assert ours[name] == pytest.approx(expected[name], rel=2e-3, abs=2e-4), name
    assert ours["val/first_log_ratio"] == 0.0


@pytest.mark.parametrize("settings", [{}, {"use_peft": True, "lora_r": 4}], ids=["all weights", "adapter"])
def test_step_of_ppo_gives_similar_figures_in_bfloat16_and_in_float32(
    settings: dict[str, Any], scene: Scene
) -> None:
    """bfloat16 has 8 bits of precision. The tolerances are about three times the differences on a CPU: the
    reward model's scores differed by 0.024, and the other figures by at most 1.4%."""
    expected, answers = first_step(scene, **settings)
    ours, _ = first_step(scene, answers, dtype="bfloat16", **settings)
    assert all(torch.tensor(value).isfinite() for value in ours.values())
    assert ours["val/first_log_ratio"] == 0.0
    for name in COMPARED:
        allowed: dict[str, Any] = {"abs": 0.08} if name == "objective/scores" else {"rel": 0.05, "abs": 0.005}
        assert ours[name] == pytest.approx(expected[name], **allowed), name


@pytest.mark.parametrize("kind", ["sft", "dpo", "rloo", "ppo"])
def test_resumed_run_on_a_gpu_ends_close_to_an_uninterrupted_run(
    kind: str, scene: Scene, tmp_path: Path
) -> None:
    """On a GPU, the terms of a sum can be added in a different order in each run."""
    report = ListReporter()
    path, _ = LOOPS[kind](scene, scene.base, tmp_path / "whole", report, **LORA)
    stopping = ListReporter(cancel_after=report.checks // 2 + 1)
    with pytest.raises(Cancelled):
        LOOPS[kind](scene, scene.base, tmp_path / "cut", stopping, **LORA)
    assert list((tmp_path / "cut" / "checkpoints").glob("step-*"))
    again, _ = LOOPS[kind](scene, scene.base, tmp_path / "cut", **LORA)
    expected, found = stored(path), stored(again)
    assert expected.keys() == found.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, atol=1e-4, rtol=1e-3, msg=name)


@pytest.fixture
def free_device() -> Iterator[None]:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def with_less_memory(run: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the results of two calls. The first call needs memory in addition to the memory that is already
    in use. The second call may use only 60% of this additional memory."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    first = run()
    needed = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.6 * needed) / total)
    return first, run()


@pytest.mark.usefixtures("free_device")
def test_exhausted_memory_halves_the_batch_of_answers(caplog: pytest.LogCaptureFixture) -> None:
    policy = random_policy("tiny", DEVICE, torch.float32)
    prompts = [list(range(4, 516)) for _ in range(256)]

    def answer() -> list[list[int]]:
        made = generate(
            *policy, prompts, max_new_tokens=64, temperature=0, cache_bytes=2**40, rows_per_batch=256
        )
        return [one.ids for group in made for one in group]

    whole, halved = with_less_memory(answer)
    assert "Out of memory while 256 answers were generated together" in caplog.text
    # Rounding depends on the size of the batch, and can change a token and thereby the rest of an answer.
    assert sum(one == other for one, other in zip(whole, halved, strict=True)) > 0.9 * len(whole)


@pytest.mark.usefixtures("free_device")
def test_exhausted_memory_halves_the_micro_batches_of_a_step(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(prompts=4, prompt=64, samples=16, answer=192, micro_batch_tokens=1_000_000)
    settings = {"dtype": "float32", "minibatches": 1, "learning_rate": 1e-4}
    config = PPOConfig.model_validate(measuring_ppo.recipe_of(work).model_dump() | settings)
    answers = [
        [
            Completion(draw_tokens(work.answer, seed=place * work.samples + n), False)
            for n in range(work.samples)
        ]
        for place in range(work.prompts)
    ]

    def step() -> dict[str, float]:
        judges = {"reward": random_reward_model("tiny", DEVICE, torch.float32)}
        models = load_models(random_policy("tiny", DEVICE, torch.float32), judges, config)
        state = ppo.new_state(config, replace(models, engine=Answered(answers)))
        return ppo.update(config, state, ppo.roll_out(config, state, encoded_prompts(work)))

    with caplog.at_level(logging.WARNING):
        whole, halved = with_less_memory(step)
    assert "continues with micro-batches of at most" in caplog.text
    assert halved["micro_batch_tokens"] < config.micro_batch_tokens
    for name in COMPARED:
        assert halved[name] == pytest.approx(whole[name], rel=2e-3, abs=2e-4), name


@pytest.mark.usefixtures("free_device")
@pytest.mark.parametrize("section", [measuring_ppo, measuring_reward_model], ids=["ppo", "reward model"])
def test_estimated_peak_memory_differs_from_the_measured_one_by_at_most_a_fifth(section: Any) -> None:
    figures = section.measure("half-b", DEVICE, {MATMUL: 1.0}, seconds=60)
    assert figures["peak memory, estimated / measured"] == pytest.approx(1, abs=0.2), figures
