"""A run in its own process ends in the correct state without partial files, whichever process dies."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings
from django.db import connection
from transformers import AutoModelForCausalLM, AutoTokenizer

from embedded import supervisor
from tests.training.conftest import RunMaker, lose, wait_until
from tests.workers import worker
from training.models import ModelVersion, RunEvent, TrainingRun
from training.runs import folders, interruptions, transitions, watch
from training.runs.launch import launch_run
from training.runs.process import fork, supervise
from training.tasks import execute_run

pytestmark = pytest.mark.usefixtures("test_database")

KILLED = {"killed", "out_of_memory"}  # out-of-memory kills are counted for the whole machine
SHORT = {"max_demonstrations": 16, "batch_size": 8, "sample_prompts": 1, "sample_tokens": 4}
ENDLESS = SHORT | {"epochs": 100, "max_demonstrations": 2000}


@pytest.fixture
def sft(make_run: RunMaker) -> TrainingRun:
    return make_run(recipe=SHORT)


@pytest.fixture
def endless(make_run: RunMaker) -> TrainingRun:
    return make_run(recipe=ENDLESS)


@contextmanager
def supervised(run: TrainingRun) -> Iterator[psutil.Process]:
    """Supervise a run in a thread of the test process, and yield the run's process once it has completed a
    step."""

    def supervise_it() -> None:
        try:
            supervise.execute_run(run_id=run.pk)
        finally:
            connection.close()

    supervisor = threading.Thread(target=supervise_it)
    supervisor.start()
    try:
        wait_until(lambda: is_training(run))
        yield process_of(run)
    finally:
        supervisor.join(120)
        assert not supervisor.is_alive()


def is_training(run: TrainingRun) -> bool:
    run.refresh_from_db()
    assert run.state in {"queued", "running"}, (run.error, supervise.log_tail(run, lines=50))
    return run.step >= 1


def process_of(run: TrainingRun) -> psutil.Process:
    [found] = [p for p in psutil.process_iter() if is_process_of(p, run)]
    return found


def is_process_of(process: psutil.Process, run: TrainingRun) -> bool:
    """Return whether this is the process of the run: its name contains part of the run ID, and the process
    leads its session."""
    try:
        return process.name() == f"run-{str(run.pk)[-8:]}" and os.getsid(process.pid) == process.pid
    except (psutil.Error, OSError):
        return False


def assert_nothing_half_written(run: TrainingRun) -> None:
    assert not ModelVersion.objects.exists()
    assert not list((settings.ARTEFACTS / "models").glob("*"))
    kept = {path.relative_to(run.folder).parts[:2] for path in run.folder.rglob("*") if path.is_file()}
    assert kept <= {("log.txt",), ("attempt-1", "checkpoints")}
    assert not list(run.folder.rglob(".*"))


def test_transformers_loads_the_model_of_a_run(sft: TrainingRun) -> None:
    supervise.execute_run(run_id=sft.pk)
    sft.refresh_from_db()
    log = "\n".join(supervise.log_tail(sft, lines=50))
    assert sft.state == "succeeded", log
    assert "%|" not in log, "a progress bar"
    model = ModelVersion.objects.get()
    assert sft.result["model"] == {"id": str(model.id), "name": "lab-sft-1"}
    assert (model.run, model.parent, model.base_model, model.kind) == (sft, None, "demo-world", "policy")
    assert model.metrics == sft.result["metrics"]
    loaded = AutoModelForCausalLM.from_pretrained(model.folder)
    assert loaded.config.vocab_size == len(AutoTokenizer.from_pretrained(model.folder))
    assert [path.suffix for path in model.folder.iterdir() if "model" in path.name] == [".safetensors"]

    events = list(RunEvent.objects.filter(run=sft).order_by("seq"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.step for event in events if event.type == "metrics"] == [1, 2]
    assert [event.data["state"] for event in events if event.type == "state"] == ["running", "succeeded"]
    [sample] = [event for event in events if event.type == "sample"]
    assert sample.data["prompt"][0]["role"] == "user"
    assert sorted(path.name for path in sft.folder.iterdir()) == ["log.txt"]


def test_cancelled_run_stops_after_a_step_and_leaves_no_partial_files(endless: TrainingRun) -> None:
    with supervised(endless):
        asked_at_step = transitions.cancel_run(run=endless).step
    endless.refresh_from_db()
    assert endless.state == "cancelled"
    # The run ended at a step boundary, long before its last step and within the grace period.
    assert asked_at_step <= endless.step < endless.total_steps
    assert endless.error is None
    assert_nothing_half_written(endless)


def test_runs_are_forked_from_one_single_threaded_process(make_run: RunMaker) -> None:
    parents = []
    for run in (make_run(recipe=ENDLESS), make_run(recipe=ENDLESS)):
        with supervised(run) as process:
            parents.append(process.parent())
            transitions.cancel_run(run=run)
    assert parents[0] == parents[1] != psutil.Process()
    # With more threads, a lock held by another thread during the fork would stay locked forever.
    assert parents[0].num_threads() == 1


def test_hung_fork_server_is_replaced_and_its_run_resumes(
    endless: TrainingRun, sft: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    with supervised(endless) as process:
        server = process.parent()
        server.suspend()
        assert fork._serving_now is not None
        with monkeypatch.context() as impatient:
            impatient.setattr(fork, "ANSWER_SECONDS", 0.2)
            with pytest.raises(fork.ServerGone):
                fork._serving_now.ask({})
        wait_until(lambda: not is_process_of(process, endless), seconds=10)
        wait_until(lambda: is_training(endless) and endless.attempt == 2)
        transitions.cancel_run(run=endless)
    assert [cause["kind"] in KILLED for cause in endless.interruptions] == [True]
    supervise.execute_run(run_id=sft.pk)
    sft.refresh_from_db()
    assert sft.state == "succeeded"


def test_run_fails_if_no_process_can_be_started(
    sft: TrainingRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fork, "_serving_now", None)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    supervise.execute_run(run_id=sft.pk)
    sft.refresh_from_db()
    assert (sft.state, sft.error["kind"]) == ("failed", "not_started")


def test_run_with_a_missing_input_fails_and_logs_the_traceback(
    make_run: RunMaker, capfd: pytest.CaptureFixture[str]
) -> None:
    run = make_run(recipe=SHORT | {"base_model": "/nowhere/model"})
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "failed"
    assert run.error["kind"] == "base_model_missing"
    assert "/nowhere/model" in run.error["detail"]
    of_run, of_worker = "\n".join(supervise.log_tail(run, lines=100)), capfd.readouterr().err
    for text in (of_run, of_worker):
        assert f"The run failed. run_id={run.pk} attempt=1\nTraceback" in text
        assert "/nowhere/model" not in text, "the message of an exception can contain prompts"


def test_run_of_a_killed_worker_is_resumed_once_from_its_checkpoint(
    ranked: ModelVersion, tmp_path: Path
) -> None:
    recipe = {"epochs": 40, "batch_rankings": 4, "checkpoint_steps": 3}
    steps = 40 * 3  # three batches in each epoch
    run = launch_run(project=ranked.project, kind="reward_model", recipe=recipe, inputs={}, user=None)
    execute_run.delay(str(run.pk))
    execute_run.delay(str(run.pk))
    with worker("training", tmp_path / "worker.log") as process:
        wait_until(lambda: bool(checkpoints_of(run)))
        process.kill()
        process.wait()
    wait_until(lambda: not [p for p in psutil.process_iter() if is_process_of(p, run)], seconds=10)

    assert interruptions.sweep_runs() == []  # the heartbeat is still recent
    lose(run)
    assert interruptions.sweep_runs() == [run.pk]
    kept = max(checkpoints_of(run))
    for _ in range(2):
        execute_run(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("succeeded", 2), supervise.log_tail(run, lines=50)
    assert ModelVersion.objects.filter(run=run).count() == 1
    before, after = (
        list(said.values_list("step", flat=True))
        for said in (
            RunEvent.objects.filter(run=run, type="metrics", attempt=attempt).order_by("seq")
            for attempt in (1, 2)
        )
    )
    assert before[:kept] == list(range(1, kept + 1))  # the metrics of attempt 1 are kept up to the checkpoint
    assert after == list(range(kept + 1, steps + 1))
    assert sorted(path.name for path in run.folder.iterdir()) == ["log.txt"]


def checkpoints_of(run: TrainingRun) -> list[int]:
    return [int(path.name[-8:]) for path in run.folder.glob("attempt-1/checkpoints/step-*")]


def test_stopped_worker_requeues_its_run_after_the_run_has_written_a_checkpoint(
    ranked: ModelVersion, tmp_path: Path
) -> None:
    recipe = {"epochs": 100, "batch_rankings": 1, "checkpoint_minutes": 1000, "keep": "last"}
    run = launch_run(project=ranked.project, kind="reward_model", recipe=recipe, inputs={}, user=None)
    execute_run.delay(str(run.pk))
    with worker("training", tmp_path / "worker.log"):
        wait_until(lambda: is_training(run))
        began = time.monotonic()
        assert watch.worker_listens()
        assert time.monotonic() - began < watch.PING_SECONDS, (
            "the check takes this long only if no worker answers"
        )
    run.refresh_from_db()
    assert (run.state, run.tries) == ("queued", 0)
    assert run.attempt == 1, "a stopping worker claims no run, although both messages reached it"
    assert run.checkpoint_step == run.step >= 1
    assert checkpoints_of(run) == [run.step]
    assert interruptions.sweep_runs() == [run.pk]  # the worker is woken immediately and not a minute later
    assert not list(run.folder.rglob(".*"))


def test_process_that_is_saving_gets_more_time_unless_its_worker_is_stopping(
    make_run: RunMaker, settings: Any
) -> None:
    run, settings.TRAINING_STOP_SECONDS = make_run(), 7
    assert supervise._grace_seconds(run, 1) == supervise.CANCEL_GRACE_SECONDS
    (folders.work_folder(run, 1) / "checkpoints" / ".step-00000003.partial-0").mkdir(parents=True)
    assert supervise._grace_seconds(run, 1) == supervise.SAVING_GRACE_SECONDS
    supervise.worker_is_stopping.set()
    try:
        assert supervise._grace_seconds(run, 1) == 7
    finally:
        supervise.worker_is_stopping.clear()


def test_stop_timeout_of_each_supervisor_exceeds_that_of_the_training_worker() -> None:
    assert supervisor._GRACE_SECONDS > settings.TRAINING_STOP_SECONDS
    text = (settings.BASE_DIR / "docker-compose.yml").read_text()
    found = re.search(r"RANKLOOP_TRAINING_STOP_SECONDS: (\d+)\n    stop_grace_period: (\d+)s\n", text)
    assert found is not None
    assert int(found[2]) > int(found[1]) > settings.TRAINING_STOP_SECONDS
