"""A stopped or killed fine-tuning run resumes and ends with the weights and metrics of an uninterrupted
run."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.rlhf import tiny
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.rlhf.tiny import words
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.messages import Demonstration
from training.rlhf.core.reporter import Cancelled
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.policy import sft
from training.rlhf.recipes.sft import SFTConfig

# Two epochs of two steps. Each step has at least two micro-batches, and an evaluation follows most steps.
RECIPE = SFTConfig(
    epochs=2,
    batch_size=8,
    micro_batch_tokens=48,
    learning_rate=1e-2,
    heldout_share=0.2,
    sample_prompts=1,
    sample_tokens=3,
    checkpoint_steps=2,
    checkpoint_minutes=None,
)
DEMONSTRATIONS = [
    Demonstration([{"role": "user", "content": words(n, n + 1)}], words(*range(n % 5 + 1))) for n in range(18)
]


class Telling(ListReporter):
    """Omits the speed, which depends on the clock. Kills its process after the loss of step `last`."""

    last: int | None = None

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        kept = {name: value for name, value in values.items() if name != "tokens_per_second"}
        super().metrics(step, kept)
        if step == self.last and "loss" in kept:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(folder: Path, report: ListReporter, **changes: Any) -> sft.SFTResult:
    return sft.train(
        RECIPE.model_copy(update=changes),
        base_model=Loaded(tiny.policy(), tiny.tokenizer()),
        demonstrations=DEMONSTRATIONS,
        out_dir=folder / "model",
        checkpoints=folder / "checkpoints",
        report=report,
    )


def outcome(result: sft.SFTResult) -> tuple[Any, ...]:
    weights = (result.path / "model.safetensors").read_bytes()
    return weights, result.steps, result.rows, result.loss, result.heldout_loss, result.left_out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Any, ...], Telling]:
    torch.set_num_threads(1)
    report = Telling()
    return outcome(run(tmp_path_factory.mktemp("whole"), report)), report


def test_run_cancelled_at_any_check_resumes_bitwise_and_reports_each_value_once(
    whole: tuple[tuple[Any, ...], Telling], tmp_path: Path
) -> None:
    expected, uninterrupted = whole
    assert uninterrupted.checks > 12
    for number in range(1, uninterrupted.checks + 1):
        folder = tmp_path / str(number)
        cancelled, resumed = Telling(cancel_after=number), Telling()
        with pytest.raises(Cancelled):
            run(folder, cancelled)
        assert not (folder / "model").exists()
        assert outcome(run(folder, resumed)) == expected, number
        assert cancelled.metric_rows + resumed.metric_rows == uninterrupted.metric_rows, number
        assert cancelled.sample_rows + resumed.sample_rows == uninterrupted.sample_rows, number


def test_killed_run_resumes_bitwise_from_its_last_checkpoint(
    whole: tuple[tuple[Any, ...], Telling], tmp_path: Path
) -> None:
    expected, uninterrupted = whole
    for step, saved in ((1, 0), (3, 2)):
        folder = tmp_path / str(step)
        pid = os.fork()
        if not pid:
            report = Telling()
            report.last = step
            run(folder, report)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        resumed = Telling()
        assert outcome(run(folder, resumed)) == expected, step
        assert resumed.progress_rows[0] == ("train", saved, expected[1])
        assert resumed.metric_rows == [row for row in uninterrupted.metric_rows if row[0] > saved], step


def test_checkpoints_of_other_demonstrations_or_another_recipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        run(tmp_path, Telling(cancel_after=6))
    with pytest.raises(CheckpointRefused, match=r"recipe.learning_rate was 0.01 and is now 0.02"):
        run(tmp_path, Telling(), learning_rate=0.02)
    with pytest.raises(CheckpointRefused, match="demonstrations was"):
        run(tmp_path, Telling(), max_length=8)
