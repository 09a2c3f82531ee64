"""If a training process is killed, its run continues in a new process, up to a limited number of times. If a
run hangs or exceeds its time limit, it fails, records the cause and keeps its checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psutil
import pytest
import torch
from django.db import connection
from rest_framework.test import APIClient
from transformers import AutoTokenizer

from annotation.models import User
from tests.training.conftest import ModelMaker, RunMaker, wait_until
from tests.training.runs.process.test_training_process import is_process_of
from training.models import ModelVersion, RunEvent, TrainingRun
from training.rlhf.models.loading.saving import save_model
from training.rlhf.reward.scoring import load_for_training
from training.runs import interruptions, transitions
from training.runs.launch import launch_run
from training.runs.process import supervise
from training.runs.process.health import Limits

pytestmark = pytest.mark.usefixtures("test_database")
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
# Out-of-memory kills are counted for the whole machine. If the kernel kills any other process in the
# meantime, the run's interruption is recorded as out of memory.
KILLED = {"killed", "out_of_memory"}


@contextmanager
def supervised(run: TrainingRun, limits: Limits | None = None) -> Iterator[None]:
    def supervise_it() -> None:
        try:
            supervise.execute_run(run_id=run.pk, limits=limits)
        finally:
            connection.close()

    supervisor = threading.Thread(target=supervise_it)
    supervisor.start()
    try:
        yield
    finally:
        supervisor.join(120)
        assert not supervisor.is_alive()
        run.refresh_from_db()


def process_of(run: TrainingRun, attempt: int, *, step: int = 1) -> psutil.Process:
    """Wait until the attempt has reached the step, and return the attempt's process."""

    def reached() -> bool:
        run.refresh_from_db()
        assert run.state in {"queued", "running"}, (run.error, supervise.log_tail(run, lines=50))
        return run.attempt == attempt and run.step >= step

    wait_until(reached)
    [found] = [process for process in psutil.process_iter() if is_process_of(process, run)]
    return found


@pytest.fixture
def endless(make_run: RunMaker) -> TrainingRun:
    recipe = {"epochs": 100, "batch_size": 8, "max_demonstrations": 2000, "sample_prompts": 0}
    return make_run(recipe=recipe)


def test_run_fails_after_its_process_was_killed_three_times(
    endless: TrainingRun, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    with supervised(endless):
        for attempt in (1, 2, 3):
            process_of(endless, attempt).send_signal(signal.SIGSEGV)
    assert (endless.state, endless.error["kind"], endless.attempt) == ("failed", "killed", 3)
    assert "SIGSEGV" in endless.error["title"]
    states = RunEvent.objects.filter(run=endless, type="state").order_by("seq")
    told = [event.data["state"] for event in states]
    assert told == ["running", "queued", "running", "queued", "running", "failed"]
    sent = client_of(ada).get(f"/api/v1/runs/{endless.pk}/").json()
    assert [(each["attempt"], each["kind"]) for each in sent["interruptions"]] == [
        (1, "killed"),
        (2, "killed"),
    ]
    assert "SIGSEGV" in sent["interruptions"][0]["title"]
    assert sent["failure"]["kind"] == "killed"


@pytest.fixture
def judge(ranked: ModelVersion, make_model: ModelMaker) -> ModelVersion:
    """An untrained reward model for the answers of `ranked`."""
    model = make_model(name="lab-rm-1", kind="reward_model", parent=ranked)
    torch.manual_seed(1)
    trunk, tokenizer = load_for_training(ranked.folder)
    save_model(trunk, tokenizer, model.folder)
    return model


def test_killed_run_resumes_from_its_checkpoint_and_succeeds(
    ranked: ModelVersion, judge: ModelVersion, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    """The run is a PPO run, because PPO has the largest state. The resumed run ends with the same weights as
    an uninterrupted run."""
    recipe = {"steps": 24, "rollout_prompts": 4, "max_new_tokens": 4, "kl_target": 1.0, "checkpoint_steps": 1}
    inputs = {"policy": ranked.name, "reward_model": judge.name}
    whole, run = (
        launch_run(project=ranked.project, kind="ppo", recipe=recipe, inputs=inputs, user=None)
        for _ in range(2)
    )
    with supervised(whole):
        pass
    with supervised(run):
        process_of(run, 1, step=4).kill()
        wait_until(lambda: TrainingRun.objects.get(pk=run.pk).attempt == 2)
        at_resume = client_of(ada).get(f"/api/v1/runs/{run.pk}/").json()["checkpoint_step"]
    for each, attempts in ((whole, 1), (run, 2)):
        assert (each.state, each.attempt) == ("succeeded", attempts), supervise.log_tail(each, lines=50)
    assert [cause["kind"] in KILLED for cause in run.interruptions] == [True]
    steps = RunEvent.objects.filter(run=run, type="metrics", attempt=2).order_by("seq")
    first = steps.values_list("step", flat=True)[0]
    assert 3 <= at_resume < first
    expected, made = (ModelVersion.objects.get(run=each) for each in (whole, run))
    assert "model.safetensors" in made.files
    assert made.files == expected.files
    assert _figures(run) == _figures(whole)


def _figures(run: TrainingRun) -> list[tuple[int, dict[str, float]]]:
    """The metrics of each step as shown on the page, without figures that depend on the clock."""
    return [
        (event.step, {name: value for name, value in event.data["values"].items() if "second" not in name})
        for event in RunEvent.objects.said_of(run, "metrics")
    ]


def test_killed_run_whose_cancellation_was_requested_is_cancelled(make_run: RunMaker) -> None:
    run = make_run()
    attempt = transitions.claim_run(run_id=run.pk, worker="w")
    assert attempt is not None
    transitions.cancel_run(run=run)
    error = {"kind": "killed", "title": "t", "detail": "d"}
    assert interruptions.interrupt_run(run_id=run.pk, attempt=attempt, error=error) == "cancelled"


def test_run_that_ran_out_of_memory_is_resumed_once(make_run: RunMaker) -> None:
    run = make_run()
    error = {"kind": "out_of_memory", "title": "t", "detail": "d"}
    for state in ("queued", "failed"):
        attempt = transitions.claim_run(run_id=run.pk, worker=state)
        assert attempt is not None
        tries = interruptions.MAX_TRIES_OUT_OF_MEMORY
        assert (
            interruptions.interrupt_run(run_id=run.pk, attempt=attempt, error=error, max_tries=tries) == state
        )
    run.refresh_from_db()
    assert run.error == error


def test_frozen_process_is_replaced_by_a_new_one(endless: TrainingRun) -> None:
    limits = Limits(first_step=HOUR, step=HOUR, silence=7 * SECOND)
    with supervised(endless, limits):
        process_of(endless, 1).suspend()
        process_of(endless, 2)
        transitions.cancel_run(run=endless)
    assert endless.state == "cancelled"
    [cause] = endless.interruptions
    assert (cause["kind"], cause["title"]) == ("killed", "The training process was frozen")


def test_run_in_an_endless_loop_is_stopped_and_its_log_names_the_place(
    make_run: RunMaker, ranked: ModelVersion
) -> None:
    words = AutoTokenizer.from_pretrained(ranked.folder)
    words.chat_template = "{% for _ in range(99999) %}" * 4 + "{% endfor %}" * 4
    words.save_pretrained(ranked.folder)
    run = make_run(inputs={"policy": ranked.name})
    # On a busy machine, the process took more than 4 s to load its model and to reach the loop.
    with supervised(run, Limits(first_step=10 * SECOND, step=HOUR)):
        pass
    assert (run.state, run.error["kind"], run.attempt) == ("failed", "hung", 1)
    assert run.error["detail"].startswith("No progress for 10 s.")
    assert "in apply_chat_template" in run.error["detail"]


def test_run_at_its_time_limit_resumes_from_its_checkpoint_with_a_higher_limit(
    ranked: ModelVersion, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    recipe: dict[str, Any] = {"epochs": 100, "batch_rankings": 1, "keep": "last", "max_minutes": 0.05}
    recipe |= {"micro_batch_tokens": 1, "evaluations": 1000}  # the run takes longer than its limit
    run = launch_run(project=ranked.project, kind="reward_model", recipe=recipe, inputs={}, user=None)
    with supervised(run):
        pass
    assert (run.state, run.error["kind"]) == ("failed", "time_limit"), run.error
    # The checkpoint was written at the limit, because no checkpoint was due earlier.
    assert run.checkpoint_step == run.step >= 1
    assert [path.name for path in run.folder.glob("attempt-1/checkpoints/*")] == [f"step-{run.step:08d}"]
    assert run.spent_seconds > 2

    path, client = f"/api/v1/runs/{run.pk}/resume", client_of(ada)
    refused = client.post(path, {})
    assert refused.status_code == 422
    assert "Set a higher time limit" in refused.json()["errors"][0]["reason"]
    assert client.post(path, {"max_minutes": -1}).status_code == 422
    run.refresh_from_db()
    assert run.state == "failed"
    resumed = client.post(path, {"max_minutes": 60})
    assert (resumed.status_code, resumed.json()["state"]) == (200, "queued")
    assert resumed.json()["recipe"]["max_minutes"] == 60
    assert resumed.json()["checkpoint_step"] == run.checkpoint_step
