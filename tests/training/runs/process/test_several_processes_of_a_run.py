"""The supervisor executes a run in two processes. The run succeeds, continues after one of its processes was
killed, and can be cancelled."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import pytest
import torch
import torch.distributed as dist
from django.db import connection

from annotation.content.adding import add_prompts
from annotation.models import Project
from config.problems import Problem
from tests.training.conftest import ModelMaker, wait_until
from tests.training.rlhf.small_world import arbitrary_reward_model, untrained_policy
from tests.training.runs.process.database_clients import DatabaseClients
from tests.training.runs.process.test_training_process import is_training, supervised
from training import demo_world
from training.models import ModelVersion, TrainingRun
from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.distributed import require_devices
from training.rlhf.core.failures import RunFailure, UnusableInput
from training.rlhf.core.reporter import NullReporter
from training.rlhf.models.loading.saving import save_model
from training.runs import transitions
from training.runs.estimates.estimates import estimate_run
from training.runs.launch import launch_run
from training.runs.process import group, supervise
from training.runs.threads import cpu_threads

pytestmark = pytest.mark.usefixtures("test_database")
SMALL = {"rollout_prompts": 2, "responses_per_prompt": 2, "max_new_tokens": 4, "max_prompts": 4, "samples": 0}


@pytest.fixture
def project(lab: Project, make_model: ModelMaker) -> Project:
    add_prompts(project=lab, prompts=[(messages, {}) for messages in demo_world.prompts(4, 1)])
    for name, kind, loaded in (
        ("start", "policy", untrained_policy()),
        ("judge", "reward_model", arbitrary_reward_model()),
    ):
        model = make_model(name=name, kind=kind)
        shutil.rmtree(model.folder)
        save_model(*loaded, model.folder)
    return lab


def launch(project: Project, kind: str, **recipe: Any) -> TrainingRun:
    return launch_run(project=project, kind=kind, recipe={"processes": 2} | recipe, inputs={}, user=None)


def assert_succeeds(run: TrainingRun) -> None:
    supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    log = supervise.log_tail(run, lines=50)
    assert run.state == "succeeded", (run.error, log)
    assert [line.partition(":")[0] for line in log if line.startswith("step ")][-2:] == ["step 1", "step 2"]
    assert not [line for line in log if "%|" in line], "a progress bar"
    assert ModelVersion.objects.get(run=run).kind == "policy"
    assert sorted(path.name for path in run.folder.iterdir()) == ["log.txt"]


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseClients]:
    """Training processes connect to the test database through this socket."""
    settings = connection.settings_dict
    folder = tmp_path / "s"  # the path of a socket has at most 107 bytes
    folder.mkdir()
    port = settings["PORT"] or 5432
    between = DatabaseClients(folder, Path(settings["HOST"]) / f".s.PGSQL.{port}")
    address = f"postgresql://{settings['USER']}@/{settings['NAME']}?{urlencode({'host': str(folder)})}"
    monkeypatch.setenv("DATABASE_URL", address)
    yield between
    between.close()


def test_run_in_two_processes_succeeds_and_only_the_first_uses_the_database(
    project: Project, clients: DatabaseClients
) -> None:
    # The first process alone chooses the prompts with the most varied rewards.
    run = launch(project, "rloo", **SMALL, steps=2, varied_share=0.5)
    assert_succeeds(run)
    # The second process, whose name has the suffix ".2", has not connected.
    assert clients.names == {f"run-{str(run.pk)[-8:]}"}


def test_launch_with_a_server_and_several_processes_is_refused(lab: Project) -> None:
    server = {"server": "http://gpu-1:8000", "server_model": "any"}
    with pytest.raises(Problem, match="a run with a server has only one process"):
        launch(lab, "rloo", **SMALL, **server)


@pytest.mark.parametrize(
    ("kind", "recipe", "reason"),
    [
        ("sft", {"processes": 1}, "divides the model among several processes: set `processes` to at least 2"),
        ("dpo", {"use_peft": True}, "With an adapter, set `sharding` to `none`"),
        ("rloo", {"num_layers_unfrozen": 1}, "Leave `num_layers_unfrozen` empty"),
        ("ppo", {"critic": "shared"}, "a shared critic can't read the hidden states of a sharded policy"),
        ("reward_model", {"uncertainty": "lora"}, "needs the complete model in every process"),
    ],
)
def test_sharding_is_refused_at_launch(kind: str, recipe: dict[str, Any], reason: str, lab: Project) -> None:
    with pytest.raises(Problem, match=re.escape(reason)):
        launch(lab, kind, sharding="full", **recipe)


def test_new_model_is_trained_and_sharded_in_two_processes(lab: Project) -> None:
    small = {"max_demonstrations": 16, "batch_size": 8, "sample_prompts": 1, "sample_tokens": 4}
    assert_succeeds(launch(lab, "sft", **small, sharding="full"))


def test_run_continues_after_its_second_process_was_killed_and_can_be_cancelled(project: Project) -> None:
    run = launch(project, "rloo", **SMALL, steps=100_000, checkpoint_steps=1)
    with supervised(run) as first:
        [second], name = first.children(), first.name()
        assert second.name() == f"{name}.2"
        second.kill()
        first.wait(10)
        wait_until(lambda: is_training(run) and run.attempt == 2)
        transitions.cancel_run(run=run)
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert [cause["title"] for cause in run.interruptions] == ["The training process was killed (SIGKILL)"]
    assert run.checkpoint_step is not None
    assert run.checkpoint_step >= 1
    wait_until(lambda: not [p for p in psutil.process_iter(["name"]) if p.info["name"].startswith(name)])


def fail(report: NullReporter) -> None:
    """Fail in the second process while the first process waits for it."""
    if distributed.rank() == 1:
        raise UnusableInput("this text can't be read")
    distributed.wait()


def count_unless(report: NullReporter, refused: bool) -> float:
    if refused:
        raise CheckpointRefused("this is a checkpoint of another run")
    return distributed.all_sum({"processes": 1.0})["processes"]


def test_processes_can_be_called_again_after_they_refused_a_checkpoint(tmp_path: Path) -> None:
    processes = group.start(3)
    with pytest.raises(CheckpointRefused):
        processes.call(count_unless, report=NullReporter(), folder=tmp_path, refused=True)
    assert processes.call(count_unless, report=NullReporter(), folder=tmp_path, refused=False) == 3
    processes.close()


def test_failure_of_another_process_is_reported_as_the_failure_of_the_run(tmp_path: Path) -> None:
    processes = group.start(2)
    with pytest.raises(RunFailure, match="process 2 of 2: UnusableInput: this text can't be read") as caught:
        processes.call(fail, report=NullReporter(), folder=tmp_path)
    assert caught.value.kind == UnusableInput.kind
    processes.close()


def test_failure_of_another_process_is_reported_if_it_ends_before_the_first_has_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = group.start(2)
    join = dist.init_process_group

    def join_too_late(*args: Any, **kwargs: Any) -> None:
        join(*args, **kwargs)
        wait_until(lambda: processes.peers[0].pipe.poll())  # the second process has failed and left
        raise RuntimeError("Gloo connectFullMesh failed: Connection closed by peer")

    monkeypatch.setattr(dist, "init_process_group", join_too_late)  # only in this process, the first
    with pytest.raises(RunFailure, match="process 2 of 2: UnusableInput: this text can't be read"):
        processes.call(fail, report=NullReporter(), folder=tmp_path)
    processes.close()
    dist.destroy_process_group()


def test_process_that_is_killed_before_it_joins_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meet = distributed.rendezvous

    def killed(url: str, rank: int, *args: Any, **kwargs: Any) -> Any:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return meet(url, rank, *args, **kwargs)

    monkeypatch.setattr(distributed, "rendezvous", killed)
    processes = group.start(2)
    with pytest.raises(group.PeerKilled, match="process 2 of 2 was killed"):
        processes.call(count_unless, report=NullReporter(), folder=tmp_path, refused=False)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_devices(2)
    with pytest.raises(UnusableInput, match="3 processes need one GPU each, but this machine has 2"):
        require_devices(3)


def test_processes_share_the_threads_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert [cpu_threads("people/some-model", processes=n) for n in (1, 2, 8)] == [7, 3, 1]


def test_estimate_counts_the_memory_of_every_process(project: Project) -> None:
    one, three = (
        estimate_run(project=project, kind="rloo", recipe=SMALL | {"processes": n}, inputs={}) for n in (1, 3)
    )
    # Each process loads torch and all models. Each batch is divided among the processes.
    models = {
        name: sum(part.bytes for part in told.parts if part.name.startswith((name, "torch")))
        for name, told in (("weights", one), ("Adam", one))
    }
    for name, size in models.items():
        held = sum(part.bytes for part in three.parts if part.name.startswith((name, "torch")))
        assert held == pytest.approx(3 * size)
    assert 2 * one.memory.expected < three.memory.expected < 3.1 * one.memory.expected
    assert sum(part.bytes for part in three.parts) == pytest.approx(three.memory.expected)
