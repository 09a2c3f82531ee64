"""A run with `varied_share` measures the spread of rewards once, and does not change its choice of prompts
afterwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from annotation.models import Project, Prompt
from tests.training.rlhf.list_reporter import ListReporter
from tests.training.runs.launch.test_several_reward_models_at_launch import helpful, launch
from training.models import ModelVersion, TrainingRun
from training.rlhf.core.failures import UnusableInput
from training.rlhf.core.reporter import Cancelled
from training.rlhf.selection.varied import PHASE
from training.runs.estimates.estimates import estimate_run
from training.runs.folders import CHECKPOINTS, REWARDS, keep_checkpoints, work_folder
from training.runs.process.datasets.prompts import PROMPTS
from training.runs.process.kinds import perform

__all__ = ["helpful"]  # a fixture

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("helpful")
VARIED: dict[str, Any] = {"varied_share": 0.5, "varied_samples": 3, "max_new_tokens": 4, "samples": 0}
SMALL = VARIED | {"steps": 1, "rollout_prompts": 2}
INPUTS = {"reward_model": "helpful"}


def run_once(run: TrainingRun, attempt: int, report: ListReporter) -> Any:
    return perform(run, attempt=attempt, work=work_folder(run, attempt), report=report)


@pytest.mark.parametrize("kind", ["rloo", "ppo"])
def test_run_trains_on_the_chosen_prompts_and_reports_their_number(lab: Project, kind: str) -> None:
    run = launch(lab, SMALL, kind, **INPUTS)
    report = ListReporter()
    counts = run_once(run, 1, report).counts
    candidates = Prompt.objects.filter(split="train").count()
    assert counts["prompts_measured"] == candidates
    assert counts["prompts"] == -(-candidates // 2)
    assert counts["prompts_without_spread"] + counts["prompts_less_varied"] == candidates // 2
    phases = list(dict.fromkeys(phase for phase, _, _ in report.progress_rows))
    assert phases[:2] == [PHASE, "train"]


def test_measured_rewards_of_a_cancelled_run_are_kept_and_the_choice_is_final(lab: Project) -> None:
    run = launch(lab, SMALL, "rloo", **INPUTS)
    with pytest.raises(Cancelled):
        run_once(run, 1, Stopping())
    keep_checkpoints(run)
    folder = work_folder(run, 1) / CHECKPOINTS
    kept = (folder / REWARDS).read_text()
    assert len(kept.splitlines()) == Prompt.objects.filter(split="train").count()
    chosen = json.loads((folder / PROMPTS).read_text())["messages"]
    Prompt.objects.all().delete()  # the project's prompts can change
    report = ListReporter()
    assert run_once(run, 2, report).counts["prompts"] == len(chosen)
    assert PHASE not in {phase for phase, _, _ in report.progress_rows}


class Stopping(ListReporter):
    """Cancels the run when its training loop begins."""

    def progress(self, phase: str, step: int, total: int) -> None:
        super().progress(phase, step, total)
        if phase == "train":
            self.cancel_after = 0


def test_prompt_on_an_incomplete_line_is_measured_again(lab: Project) -> None:
    run = launch(lab, SMALL, "rloo", **INPUTS)
    with pytest.raises(Cancelled):
        run_once(run, 1, Stopping())
    folder = work_folder(run, 1) / CHECKPOINTS
    whole, chosen = (folder / REWARDS).read_text(), (folder / PROMPTS).read_text()
    (folder / REWARDS).write_text(whole[:-3])
    (folder / PROMPTS).unlink()
    run_once(run, 2, ListReporter())
    folder = work_folder(run, 2) / CHECKPOINTS
    assert ((folder / REWARDS).read_text(), (folder / PROMPTS).read_text()) == (whole, chosen)


def test_prompts_whose_rewards_do_not_vary_are_refused_with_advice(lab: Project) -> None:
    settings = SMALL | {"temperature": 0.0001}
    with pytest.raises(UnusableInput, match="Raise varied_samples or temperature, or set varied_share to 1"):
        run_once(launch(lab, settings, "rloo", **INPUTS), 1, ListReporter())


@pytest.mark.parametrize("kind", ["ppo", "rloo", "rejection_sampling"])
def test_estimate_includes_the_measurement(lab: Project, helpful: ModelVersion, kind: str) -> None:
    def seconds(share: float) -> float:
        recipe = {"varied_share": share, "varied_samples": 64}
        return estimate_run(project=lab, kind=kind, recipe=recipe, inputs=INPUTS).seconds.expected

    assert seconds(0.99) > seconds(1.0)
