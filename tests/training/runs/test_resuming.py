"""A stopped run keeps its checkpoints while it can be resumed. Once the run can no longer be resumed, only
its log remains."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import torch
from django.utils import timezone
from safetensors.torch import load_file, save_file
from torch import nn

from annotation.ids import uuid7
from annotation.models import Ranking
from tests.training.conftest import RunMaker, wait_until
from training.models import ModelVersion, RunEvent, TrainingRun
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.core.failures import FailureKind
from training.runs import folders, transitions
from training.runs.failures import record
from training.runs.launch import launch_run, resume_run
from training.runs.process.exit_codes import EXIT_CANCELLED, EXIT_DONE, EXIT_FAILED
from training.runs.process.main import run_attempt
from training.tasks import sweep_orphaned_runs

RECIPE = {"epochs": 40, "batch_rankings": 4, "checkpoint_steps": 1}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before, handler = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    signal.signal(signal.SIGTERM, handler)


def launched(policy: ModelVersion, **settings: Any) -> TrainingRun:
    recipe = RECIPE | settings
    return launch_run(project=policy.project, kind="reward_model", recipe=recipe, inputs={}, user=None)


def attempted(run: TrainingRun) -> int:
    """Execute one attempt in the current process and return its exit code."""
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    code = run_attempt(run.pk, attempt)
    run.refresh_from_db()
    return code


@contextmanager
def once_it_has_checkpoints(run: TrainingRun, then: Any) -> Iterator[None]:
    def wait() -> None:
        wait_until(lambda: len(list(run.folder.glob("attempt-*/checkpoints/step-*"))) > 1)
        then()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def left(run: TrainingRun) -> list[str]:
    return sorted(str(path.relative_to(run.folder)) for path in run.folder.glob("attempt-*/*"))


@pytest.mark.django_db(transaction=True)
def test_requeued_run_resumes_and_reports_each_step_once(ranked: ModelVersion) -> None:
    run = launched(ranked)
    with once_it_has_checkpoints(run, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert attempted(run) == EXIT_CANCELLED
    assert (run.state, left(run)) == ("queued", ["attempt-1/checkpoints"])
    assert attempted(run) == EXIT_DONE
    assert (run.state, run.attempt, left(run)) == ("succeeded", 2, [])
    said = list(
        RunEvent.objects.filter(run=run, type="metrics").order_by("seq").values_list("step", "attempt")
    )
    assert [step for step, _ in said] == list(range(1, run.result["counts"]["steps"] + 1))
    assert [attempt for _, attempt in said] == sorted(attempt for _, attempt in said)
    assert {attempt for _, attempt in said} == {1, 2}


@pytest.mark.django_db(transaction=True)
def test_cancelled_run_leaves_no_checkpoint(ranked: ModelVersion) -> None:
    run = launched(ranked)

    def cancel() -> None:
        transitions.cancel_run(run=TrainingRun.objects.get(pk=run.pk))

    with once_it_has_checkpoints(run, cancel):
        assert attempted(run) == EXIT_CANCELLED
    assert (run.state, left(run)) == ("cancelled", [])


@pytest.mark.django_db(transaction=True)
def test_diverged_run_keeps_its_checkpoint_until_it_is_cancelled(ranked: ModelVersion) -> None:
    file = ranked.folder / "model.safetensors"
    # The rewards are at least 1e38, so their squares overflow.
    save_file(load_file(file) | {"model.norm.weight": torch.full((32,), 1e38)}, file, {"format": "pt"})
    run = launched(ranked)
    assert attempted(run) == EXIT_FAILED
    assert run.error["kind"] == "diverged"
    assert str(Ranking.objects.first().pk)[:8] in run.error["detail"]
    sweep_orphaned_runs()
    assert (run.state, left(run)) == ("failed", ["attempt-1/checkpoints"])
    resume_run(run=run)
    transitions.cancel_run(run=run)
    assert (run.state, left(run)) == ("cancelled", [])


@pytest.mark.django_db
def test_checkpoints_are_removed_a_week_after_a_failure(make_run: RunMaker) -> None:
    now = timezone.now()
    error = record(FailureKind.CRASHED, "d")
    old, new = (
        make_run(state="failed", error=error, finished_at=now - timedelta(days=days)) for days in (8, 6)
    )
    for run in (old, new):
        (run.folder / "attempt-1" / "checkpoints").mkdir(parents=True)
        (run.folder / "log.txt").write_text("what happened")
    sweep_orphaned_runs()
    assert (left(old), left(new)) == ([], ["attempt-1/checkpoints"])
    assert (old.folder / "log.txt").exists()


def test_replaced_attempt_cannot_write_to_the_current_folder() -> None:
    run = TrainingRun(id=uuid7())
    modules = {"model": nn.Linear(2, 1)}
    optimisers = {"all": torch.optim.AdamW(modules["model"].parameters())}
    old = Checkpoints(folders.take_over_checkpoints(run, 1), of={})
    old.save(1, modules, optimisers, {"step": 1}, best=True)

    folder = folders.take_over_checkpoints(run, 2)
    new = Checkpoints(folder, of={})
    assert new.resume(modules, optimisers) == ({"step": 1}, {})
    old.save(2, modules, optimisers, {"step": 2})
    assert [path.name for path in folder.iterdir()] == ["step-00000001"]
    assert folders.take_over_checkpoints(run, 3).parent.name == "attempt-3"
    assert not folder.exists()
    assert Checkpoints(folders.take_over_checkpoints(run, 3), of={}).resume(modules, optimisers) == (
        {"step": 1},
        {},
    )
    folders.remove_attempts(run)
    assert left(run) == []


@pytest.mark.django_db(transaction=True)
def test_requeued_dpo_run_continues_with_the_reference_of_its_first_attempt(ranked: ModelVersion) -> None:
    settings = {"epochs": 20, "batch_rankings": 4, "checkpoint_steps": 1, "sample_prompts": 0}
    run = launch_run(project=ranked.project, kind="dpo", recipe=settings, inputs={}, user=None)
    with once_it_has_checkpoints(run, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert attempted(run) == EXIT_CANCELLED
    assert (run.state, left(run)) == ("queued", ["attempt-1/checkpoints"])
    assert attempted(run) == EXIT_DONE
    assert (run.state, run.attempt, left(run)) == ("succeeded", 2, [])
    said = RunEvent.objects.filter(run=run, type="metrics").order_by("seq").values_list("step", flat=True)
    assert list(said) == list(range(1, run.result["counts"]["steps"] + 1))
