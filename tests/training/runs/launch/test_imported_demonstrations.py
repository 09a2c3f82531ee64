"""An `sft` run learns from imported demonstrations."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from annotation.content.importing.imports import import_file
from annotation.models import Project, RankingTask, Response
from config.problems import Problem
from preferences.records import DEMONSTRATION
from tests.training.rlhf.list_reporter import ListReporter
from training import demo_world
from training.models import TrainingRun
from training.runs.estimates.reading import data_of
from training.runs.folders import CHECKPOINTS
from training.runs.launch import launch_run
from training.runs.process.datasets.demonstrations import demonstrations_of
from training.runs.process.job import Job
from training.runs.process.kinds import perform
from training.runs.recipes.run_recipes import SFTRecipe

torch.set_num_threads(1)


def imported(project: Project, seed: int = 1) -> Any:
    rows = (
        {"instruction": messages[-1]["content"], "output": f"Answer {n}."}
        for n, messages in enumerate(demo_world.prompts(24, seed))
    )
    lines = "\n".join(json.dumps(row) for row in rows)
    return import_file(project=project, file=BytesIO(lines.encode()))


def launch(project: Project, **inputs: str) -> TrainingRun:
    recipe = {"demonstrations": "imported", "max_demonstrations": 8, "epochs": 1, "sample_prompts": 0}
    return launch_run(project=project, kind="sft", recipe=recipe, inputs=inputs, user=None)


def test_run_learns_from_imported_answers_to_training_prompts(lab: Project, tmp_path: Path) -> None:
    report = imported(lab)
    assert (report.format, report.failed) == ("demonstrations", 0)
    assert report.responses == Response.objects.filter(model_name=DEMONSTRATION).count() == 24
    assert not RankingTask.objects.exists()
    assert imported(lab).unchanged == 24
    counts = perform(launch(lab), attempt=1, work=tmp_path, report=ListReporter()).counts
    usable = Response.objects.filter(prompt__split="train").count()
    assert usable < 24
    assert (counts["demonstrations"], counts["from/imported"]) == (8, usable)
    assert counts["left_out/above_limit"] == usable - 8
    recipe = SFTRecipe(demonstrations="imported", max_demonstrations=8)
    assert data_of(project=lab, kind="sft", recipe=recipe).items == 8


def test_resumed_run_uses_the_same_demonstrations(lab: Project) -> None:
    imported(lab)
    run = launch(lab)
    recipe = SFTRecipe.model_validate(run.recipe)
    first = demonstrations_of(Job(run, 1, recipe, run.folder / "attempt-1", ListReporter()), recipe)
    (run.folder / "attempt-1" / CHECKPOINTS / "step-00000001").mkdir()
    imported(lab, seed=2)
    second = demonstrations_of(Job(run, 2, recipe, run.folder / "attempt-2", ListReporter()), recipe)
    assert (second, second.counts) == (first, first.counts)


def test_launch_without_imported_demonstrations_or_with_a_snapshot_is_refused(lab: Project) -> None:
    with pytest.raises(Problem, match="The project has no imported demonstrations"):
        launch(lab)
    imported(lab)
    with pytest.raises(Problem, match="to learn from a snapshot"):
        launch(lab, snapshot="v1")
