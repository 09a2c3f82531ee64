"""A stopped run keeps its checkpoints while it can be resumed. Once the run can no longer be resumed, only
its log remains."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import torch
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient
from safetensors.torch import load_file, save_file
from torch import nn

from annotation.ids import uuid7
from annotation.models import Project, Ranking, User
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
def once(happened: Callable[[], bool], then: Callable[[], object]) -> Iterator[None]:
    def wait() -> None:
        try:
            wait_until(happened)
            then()
        finally:
            connection.close()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def once_it_has_checkpoints(run: TrainingRun, then: Callable[[], object]) -> AbstractContextManager[None]:
    return once(lambda: len(saved_steps(run)) > 1, then)


def saved_steps(run: TrainingRun) -> list[int]:
    return [int(path.name[-8:]) for path in run.folder.glob("attempt-*/checkpoints/step-*")]


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
def test_requeued_sft_run_that_started_from_a_new_demo_model_resumes(
    lab: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Checkpoints.save

    def stopped_after_writing(self: Checkpoints, step: int, *state: Any, **options: Any) -> bool:
        written = write(self, step, *state, **options)
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return written

    monkeypatch.setattr(Checkpoints, "save", stopped_after_writing)
    recipe = {"max_demonstrations": 16, "batch_size": 4, "sample_prompts": 1, "sample_tokens": 2}
    run = launch_run(project=lab, kind="sft", recipe=recipe | {"checkpoint_steps": 1}, inputs={}, user=None)
    assert attempted(run) == EXIT_CANCELLED
    assert (run.state, left(run)) == ("queued", ["attempt-1/checkpoints"])
    assert attempted(run) == EXIT_DONE
    assert (run.state, run.attempt, left(run)) == ("succeeded", 2, [])
    said = RunEvent.objects.filter(run=run, type="metrics").order_by("seq").values_list("step", "attempt")
    assert list(said) == [(1, 1), (2, 1), (3, 2), (4, 2)]


@pytest.mark.django_db(transaction=True)
def test_cancelled_run_resumes_from_the_checkpoint_written_when_it_stopped(
    ranked: ModelVersion, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    run, client = launched(ranked), client_of(ada)
    path = f"/api/v1/runs/{run.pk}/"
    assert client.get(path).json()["checkpoint_step"] is None

    def cancel() -> None:
        transitions.cancel_run(run=TrainingRun.objects.get(pk=run.pk))

    with once_it_has_checkpoints(run, cancel):
        assert attempted(run) == EXIT_CANCELLED
    assert (run.state, left(run)) == ("cancelled", ["attempt-1/checkpoints"])
    stopped = client.get(path).json()
    # No step was lost, and the page shows the newest checkpoint on disk.
    assert stopped["checkpoint_step"] == stopped["step"] == max(saved_steps(run)) > 1
    assert timezone.now() - datetime.fromisoformat(stopped["checkpoint_at"]) < timedelta(minutes=1)

    assert client.post(f"{path}resume", {}).json()["checkpoint_step"] == stopped["step"]
    assert attempted(run) == EXIT_DONE
    assert (run.state, left(run), run.checkpoint_step, run.checkpoint_at) == ("succeeded", [], None, None)
    steps = RunEvent.objects.filter(run=run, type="metrics", attempt=2).values_list("step", flat=True)
    assert min(steps) == stopped["step"] + 1


@pytest.mark.django_db(transaction=True)
def test_unreported_checkpoint_is_recorded_when_the_attempt_ends(
    make_run: RunMaker,
) -> None:
    run = make_run()
    for attempt, steps in ((1, (3, 12)), (2, (9,))):
        transitions.claim_run(run_id=run.pk, worker="w")
        for step in steps:
            (folders.work_folder(run, attempt) / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
        folders.tidy(run, attempt)
        transitions.stop_run(run_id=run.pk, attempt=attempt)
        run.refresh_from_db()
        assert run.checkpoint_step == 12
    folders.tidy(run, 1)  # tidying up a replaced attempt changes nothing
    run.refresh_from_db()
    assert run.checkpoint_step == 12


@pytest.mark.django_db(transaction=True)
def test_run_with_unusable_checkpoints_starts_over_and_shows_no_checkpoint(ranked: ModelVersion) -> None:
    run = launched(ranked, keep="last")
    with once_it_has_checkpoints(run, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert attempted(run) == EXIT_CANCELLED
    assert (run.checkpoint_step or 0) > 1
    for state in run.folder.glob("attempt-1/checkpoints/*/state.json"):
        state.write_text("{}")
    never = {"checkpoint_steps": None, "checkpoint_minutes": 1000}
    TrainingRun.objects.filter(pk=run.pk).update(recipe=run.recipe | never)
    reported = RunEvent.objects.filter(run=run, type="metrics", attempt=2).order_by("seq")
    seen: list[int | None] = []

    def look() -> None:
        seen.append(TrainingRun.objects.get(pk=run.pk).checkpoint_step)

    with once(reported.exists, look):
        assert attempted(run) == EXIT_DONE
    assert seen == [None]
    assert reported[0].step == 1


@pytest.mark.django_db(transaction=True)
def test_diverged_run_keeps_its_checkpoint_even_if_it_is_resumed_and_cancelled(ranked: ModelVersion) -> None:
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
    (run.folder / "attempt-1" / "model").mkdir()
    transitions.cancel_run(run=run)
    assert (run.state, left(run)) == ("cancelled", ["attempt-1/checkpoints"])


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_checkpoints_are_removed_a_week_after_a_run_failed_or_was_cancelled(
    make_run: RunMaker, state: str
) -> None:
    now = timezone.now()
    over = {"state": state, "error": record(FailureKind.CRASHED, "d") if state == "failed" else None}
    saved = {"checkpoint_step": 4, "checkpoint_at": now}
    old, new = (make_run(**over, **saved, finished_at=now - timedelta(days=days)) for days in (8, 6))
    for run in (old, new):
        (run.folder / "attempt-1" / "checkpoints").mkdir(parents=True)
        (run.folder / "log.txt").write_text("what happened")
    sweep_orphaned_runs()
    assert (left(old), left(new)) == ([], ["attempt-1/checkpoints"])
    assert (old.folder / "log.txt").exists()
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.checkpoint_step, old.checkpoint_at, new.checkpoint_step) == (None, None, 4)


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


def test_attempt_takes_over_only_finished_checkpoints_in_subfolders() -> None:
    run = TrainingRun(id=uuid7())
    members = folders.work_folder(run, 1) / "checkpoints" / "member-1"
    (members / "step-00000003").mkdir(parents=True)
    (members / ".step-00000004.partial-0").mkdir()
    assert folders.is_saving(run, 1)
    taken = folders.take_over_checkpoints(run, 3)
    assert [path.name for path in (taken / "member-1").iterdir()] == ["step-00000003"]
    assert not folders.is_saving(run, 3)
    folders.remove_attempts(run)


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
