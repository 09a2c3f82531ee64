"""A stopped or killed rejection sampling run resumes, and its results are bitwise identical to those of an
uninterrupted run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.small_world import arbitrary_reward_model, short_speaker
from training import demo_world
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.reporter import Cancelled
from training.rlhf.policy.rejection_sampling import RejectionSamplingResult, train
from training.rlhf.recipes.rejection_sampling import RejectionSamplingConfig

torch.set_num_threads(1)
# Two rounds, each with three batches of 256 answers, a selection and eight optimiser steps.
CONFIG = RejectionSamplingConfig(
    samples_per_prompt=128,
    max_new_tokens=8,
    learning_rate=1e-2,
    epochs=4,
    batch_size=4,
    sample_prompts=1,
    sample_tokens=8,
    rounds=2,
    heldout_share=0.2,
)
PROMPTS = demo_world.prompts(6, seed=21)


class Killed(Exception):
    """Ends the loop before it can save anything, like SIGKILL."""


class KillingReporter(ListReporter):
    """Raises Killed at the `left`-th call. Calls to `metrics` and to `check` are counted together."""

    left = 10**9

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        super().metrics(step, values)
        self._count()

    def check(self) -> None:
        super().check()
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


def attempt(
    folder: Path, report: ListReporter, config: RejectionSamplingConfig = CONFIG
) -> RejectionSamplingResult:
    return train(
        config,
        policy=short_speaker(),
        reward_model=arbitrary_reward_model(),
        prompts=PROMPTS,
        out_dir=folder / "model",
        gold=lambda messages, text: float(len(text)),
        candidates=folder / "candidates.jsonl.gz",
        checkpoints=folder / "checkpoints",
        report=report,
    )


def reported(reports: list[ListReporter]) -> dict[int, dict[str, float]]:
    """The metrics of each step, without the speed. A later attempt replaces the steps that it repeated."""
    found: dict[int, dict[str, float]] = {}
    for report in reports:
        first = min((step for step, _ in report.metric_rows), default=10**9)
        found = {step: values for step, values in found.items() if step < first}
        for step, values in report.metric_rows:
            assert step not in found, "a step was reported twice in one attempt"
            found[step] = {name: value for name, value in values.items() if name != "tokens_per_second"}
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ListReporter]:
    folder, report = tmp_path_factory.mktemp("whole"), ListReporter()
    attempt(folder, report)
    return folder, report


def same_results(folder: Path, whole: tuple[Path, ListReporter], reports: list[ListReporter]) -> bool:
    for name in ("model/model.safetensors", "candidates.jsonl.gz"):
        assert (folder / name).read_bytes() == (whole[0] / name).read_bytes()
    assert reported(reports) == reported([whole[1]])
    assert reports[-1].sample_rows == whole[1].sample_rows
    return True


def test_repeatedly_cancelled_run_ends_like_an_uninterrupted_run(
    tmp_path: Path, whole: tuple[Path, ListReporter]
) -> None:
    """A batch needs 4 checks, and the sample answers before the first batch need 1. A run that is cancelled
    every 5 checks is therefore stopped in every phase."""
    reports: list[ListReporter] = []
    while True:
        reports.append(ListReporter(cancel_after=5))
        try:
            attempt(tmp_path, reports[-1])
            break
        except Cancelled:
            assert not (tmp_path / "model").exists()
            assert len(reports) < 60
    assert len(reports) > 10
    assert same_results(tmp_path, whole, reports)


def test_repeatedly_killed_run_ends_like_an_uninterrupted_run(
    tmp_path: Path, whole: tuple[Path, ListReporter]
) -> None:
    config = CONFIG.model_copy(update={"checkpoint_steps": 1})
    reports: list[ListReporter] = []
    for number in range(60):
        report = KillingReporter()
        report.left = 10 + number % 5
        reports.append(report)
        try:
            attempt(tmp_path, report, config)
            break
        except Killed:
            pass
    assert len(reports) > 4
    assert same_results(tmp_path, whole, reports)


def test_checkpoints_of_other_inputs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        attempt(tmp_path, ListReporter(cancel_after=8))
    with pytest.raises(CheckpointRefused, match="samples_per_prompt"):
        attempt(tmp_path, ListReporter(), CONFIG.model_copy(update={"samples_per_prompt": 64}))
