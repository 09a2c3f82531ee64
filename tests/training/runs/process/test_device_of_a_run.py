"""A run keeps its kind of device. If its GPU fails, the run continues in a new process. The run doesn't
continue on another kind of device unless the user allows this."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from rest_framework.test import APIClient

from annotation.models import User
from tests.training.runs.process.test_resuming import attempted, launched, left, one_thread
from training.models import ModelVersion, RunEvent, TrainingRun
from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.core.failures import FailureKind, RunFailure
from training.rlhf.core.reporter import NullReporter
from training.runs.process import fork, group, supervise
from training.runs.process.exit_codes import EXIT_CANCELLED, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from training.runs.process.main import run_attempt

__all__ = ["one_thread"]  # a fixture for every test in this module
pytestmark = [
    pytest.mark.usefixtures("test_database"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU"),
]


EPOCHS = 4  # 12 steps


def after_save(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Call `act` with the step of each checkpoint, after the checkpoint has been written."""
    write = Checkpoints.save

    def written(self: Checkpoints, step: int, *state: Any, **options: Any) -> bool:
        result = write(self, step, *state, **options)
        act(step)
        return result

    monkeypatch.setattr(Checkpoints, "save", written)


@pytest.fixture
def started_on_a_gpu(ranked: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> TrainingRun:
    """A queued run with a checkpoint. Its row states that the first attempt ran on a GPU."""
    run = launched(ranked, epochs=EPOCHS)
    with monkeypatch.context() as stopping:
        after_save(stopping, lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 2 else None)
        assert attempted(run) == EXIT_CANCELLED
    assert (run.state, run.device) == ("queued", "cpu")
    record_device(run, "cuda")
    return run


def record_device(run: TrainingRun, device: str) -> None:
    TrainingRun.objects.filter(pk=run.pk).update(device=device)


def first_step(run: TrainingRun, attempt: int) -> int:
    steps = RunEvent.objects.filter(run=run, type="metrics", attempt=attempt).order_by("seq")
    return steps.values_list("step", flat=True)[0]


def test_run_whose_gpu_is_gone_fails_and_resumes_when_the_gpu_is_back(
    started_on_a_gpu: TrainingRun, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    run = started_on_a_gpu
    supervise.execute_run(run_id=run.pk)
    path, client = f"/api/v1/runs/{run.pk}/", client_of(ada)
    sent = client.get(path).json()
    assert (sent["state"], sent["attempt"], sent["device"]) == ("failed", 2, "cuda")
    failure = sent["failure"]
    assert (failure["kind"], failure["again"]) == ("device_differs", True)
    assert failure["settings"] == ["other_device"]
    assert failure["detail"].startswith("The run started on a GPU, but would continue on a CPU on ")
    assert "PyTorch can't use a GPU: " in failure["detail"]
    # Nothing was computed on the CPU, and nothing was lost.
    assert not RunEvent.objects.filter(run=run, type="metrics", attempt=2).exists()
    assert sent["checkpoint_step"] == run.checkpoint_step
    assert left(run) == ["attempt-1/checkpoints"]

    record_device(run, "cpu")  # as if the run had started on the kind of device that it finds now
    assert client.post(f"{path}resume", {}).json()["state"] == "queued"
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("succeeded", 3), supervise.log_tail(run, lines=50)
    assert first_step(run, 3) == sent["checkpoint_step"] + 1


def test_user_can_resume_a_run_on_another_kind_of_device(
    started_on_a_gpu: TrainingRun, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    run = started_on_a_gpu
    assert attempted(run) == EXIT_FAILED
    resumed = client_of(ada).post(f"/api/v1/runs/{run.pk}/resume", {"other_device": True}).json()
    assert (resumed["state"], resumed["recipe"]["other_device"]) == ("queued", True)
    assert attempted(run) == EXIT_DONE
    assert (run.state, run.device) == ("succeeded", "cpu")
    assert first_step(run, 3) == resumed["checkpoint_step"] + 1


class FinishedProcess:
    """Simulates a finished training process. The attempt is executed in the test's own process, where the
    test can make PyTorch raise a GPU error. The supervisor checks the run once more before it detects the
    exit."""

    def __init__(self, code: int) -> None:
        self._code, self._looks = code, 0

    def has_ended(self, *, within_seconds: float) -> bool:
        self._looks += 1
        return self._looks > 1

    def reap(self) -> int:
        return self._code

    def terminate(self) -> None: ...

    def kill_group(self) -> None: ...


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Execute the attempts of supervised runs in this process, and return the list of their exit codes."""
    codes: list[int] = []

    def start(run: TrainingRun, attempt: int) -> FinishedProcess:
        codes.append(run_attempt(run.pk, attempt))
        return FinishedProcess(codes[-1])

    monkeypatch.setattr(supervise, "_start", start)
    monkeypatch.setattr(fork, "prepare", lambda environment: None)
    return codes


def gpu_error() -> RuntimeError:
    error = torch.AcceleratorError("CUDA error: unspecified launch failure")
    error.error_code = 719
    return error


def lose_the_gpu(monkeypatch: pytest.MonkeyPatch, *, times: int, checkpoints: int = 2) -> None:
    """Make the GPU fail in each of the first ``times`` attempts, after this many checkpoints. The last of
    these checkpoints is written, but not reported."""
    lost: list[int] = []

    def lose(step: int) -> None:
        if step >= checkpoints * (len(lost) + 1) and len(lost) < times:
            lost.append(step)
            raise gpu_error()

    after_save(monkeypatch, lose)


def test_run_continues_from_its_checkpoint_in_a_new_process_if_its_gpu_fails(
    ranked: ModelVersion, in_this_process: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_gpu(monkeypatch, times=1)
    run = launched(ranked, epochs=EPOCHS)
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert in_this_process == [EXIT_INTERRUPTED, EXIT_DONE]
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert [(cause["attempt"], cause["kind"]) for cause in run.interruptions] == [(1, "device_lost")]
    assert run.interruptions[0]["detail"] == str(gpu_error())
    assert first_step(run, 2) == 3


def test_run_continues_after_any_number_of_gpu_failures_if_each_attempt_stores_a_checkpoint(
    ranked: ModelVersion, in_this_process: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_gpu(monkeypatch, times=4)
    run = launched(ranked, epochs=EPOCHS)
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert in_this_process == [*[EXIT_INTERRUPTED] * 4, EXIT_DONE]
    assert (run.state, run.attempt) == ("succeeded", 5)


def test_run_fails_after_three_gpu_failures_without_a_new_checkpoint(
    ranked: ModelVersion, in_this_process: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_gpu(monkeypatch, times=9, checkpoints=1)
    run = launched(ranked, epochs=EPOCHS)
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert in_this_process == [EXIT_INTERRUPTED, EXIT_INTERRUPTED, EXIT_FAILED]
    assert (run.state, run.error["kind"]) == ("failed", "device_lost")


def fail_in_the_second_process(report: NullReporter) -> None:
    if distributed.rank() == 1:
        raise gpu_error()
    distributed.wait()


def test_gpu_error_of_another_process_is_reported_as_the_failure_of_the_run(tmp_path: Path) -> None:
    processes = group.start(2)
    call = partial(processes.call, fail_in_the_second_process, report=NullReporter(), folder=tmp_path)
    with pytest.raises(RunFailure, match="process 2 of 2: AcceleratorError: CUDA error") as caught:
        call()
    assert caught.value.kind == FailureKind.DEVICE_LOST
    processes.close()
