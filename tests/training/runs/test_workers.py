"""Training workers report their devices. Estimates use the workers that could execute the run, and a run that
fits none of them is refused."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import Project, User
from config.problems import Problem
from training.models import TrainingRun, TrainingWorker
from training.runs.estimates import devices
from training.runs.estimates.devices import GPU, host_memory, visible_gpus
from training.runs.estimates.estimates import RunEstimate, estimate_run
from training.runs.estimates.fitting import fitting_settings
from training.runs.estimates.machine import machines
from training.runs.launch import launch_run
from training.runs.recipes.catalog import parse_recipe
from training.runs.workers import keep_reporting

GB = 10**9
CUDA_TORCH = "2.13.0+cu130"
EIGHT_B = {"base_model": "Qwen/Qwen3-8B"}
LISTED = """\
0, GPU-11112222-a, NVIDIA RTX 4090, 24564
1, GPU-11113333-b, NVIDIA RTX 4090, 24564
2, GPU-99990000-c, NVIDIA A100-SXM4-80GB, 81920
"""


def worker(name: str, *, gpu: float = 0, gpus: int = 1, memory: float = 64, silent: float = 0) -> None:
    """A worker whose last report was `silent` seconds ago. Sizes are in GB."""
    TrainingWorker.objects.create(
        name=name,
        gpus=[{"name": "NVIDIA RTX 4090", "memory_bytes": int(gpu * GB)}] * (gpus if gpu else 0),
        memory_bytes=int(memory * GB),
        threads=8,
        seen_at=timezone.now() - timedelta(seconds=silent),
    )


def estimate(project: Project, recipe: dict[str, Any] | None = None) -> RunEstimate:
    return estimate_run(project=project, kind="sft", recipe=EIGHT_B | (recipe or {}), inputs={})


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """The environment of a machine whose `nvidia-smi` lists three GPUs."""

    def make(script: str = f"cat <<'END'\n{LISTED}END", **more: str) -> dict[str, str]:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return {"PATH": os.environ["PATH"], **more}

    return make


def test_reported_gpus_are_those_that_cuda_can_use(driver: Callable[..., dict[str, str]]) -> None:
    small, large = GPU("NVIDIA RTX 4090", 24564 * 2**20), GPU("NVIDIA A100-SXM4-80GB", 81920 * 2**20)
    assert visible_gpus(driver(), CUDA_TORCH) == (small, small, large)
    chosen = {
        "2,0": (large, small),
        "GPU-99990000": (large,),
        "1,7,2": (small,),  # CUDA ignores everything after an unknown entry
        "GPU-1111": (),  # the start of more than one UUID
        "-1": (),
        "": (),
    }
    for given, expected in chosen.items():
        assert visible_gpus(driver(CUDA_VISIBLE_DEVICES=given), CUDA_TORCH) == expected, given
    assert visible_gpus(driver(), "2.13.0+cpu") == ()  # this build of torch can't use them
    assert visible_gpus(driver("echo 'driver not loaded' >&2; exit 9"), CUDA_TORCH) == ()


def test_query_to_a_hanging_driver_is_abandoned(
    driver: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "QUERY_SECONDS", 0.2)
    began = time.monotonic()
    assert visible_gpus(driver("exec sleep 30"), CUDA_TORCH) == ()
    assert time.monotonic() - began < 10


def test_machine_without_a_driver_reports_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({"PATH": str(tmp_path)}, CUDA_TORCH) == ()


def test_reported_main_memory_does_not_exceed_the_limit_of_any_control_group(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/machine/rankloop\n")
    whole = host_memory(tmp_path / "none", own)
    assert whole == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def limit(folder: str, text: str, name: str = "memory.max") -> int:
        (tmp_path / "groups" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / folder / name).write_text(text)
        return host_memory(tmp_path / "groups", own)

    assert limit("machine/rankloop", "max\n") == whole
    assert limit("machine", "2000000000\n") == 2_000_000_000
    assert limit("machine/rankloop", "1000000000\n") == 1_000_000_000
    assert limit("", "500000000\n") == 500_000_000
    own.write_text("4:memory:/docker\n")
    assert limit("memory/docker", "300000000\n", "memory.limit_in_bytes") == 300_000_000
    assert limit("memory/docker", "9223372036854771712\n", "memory.limit_in_bytes") == 500_000_000


@pytest.mark.django_db(transaction=True)
def test_worker_reports_its_device_until_it_stops() -> None:
    stopping = threading.Event()
    thread = keep_reporting(name="training@here", stopping=stopping)
    stopping.set()
    thread.join(timeout=20)
    assert not thread.is_alive()
    row = TrainingWorker.objects.running().get()
    assert (row.name, row.memory_bytes) == ("training@here", host_memory())
    assert row.threads == len(os.sched_getaffinity(0))
    [machine] = machines()
    assert (machine.basis, machine.worker) == ("worker", "training@here")


def test_estimate_is_made_for_the_running_worker(lab: Project) -> None:
    assert estimate(lab).machine.basis == "server"
    worker("training@old", gpu=80, silent=3600)
    told = estimate(lab)
    assert (told.machine.basis, told.machine.memory_bytes) == ("worker_gone", 80 * GB)
    worker("training@gpu", gpu=24, gpus=2)
    told = estimate(lab, {"use_peft": True, "dtype": "bfloat16", "gradient_checkpointing": True})
    assert (told.machine.basis, told.machine.worker, told.workers) == ("worker", "training@gpu", 1)
    assert (told.machine.device, told.machine.gpus, told.machine.memory_bytes) == ("cuda", 2, 24 * GB)
    assert told.host_memory is not None
    # The GPU stores the weights in bfloat16. Main memory holds them only while they are being loaded.
    assert 16 * GB < told.memory.expected < told.machine.memory_bytes
    assert [stage.name for stage in told.stages] == ["load", "update", "generate", "log-probs", "save"]


def test_fit_of_a_run_is_uncertain_if_only_some_workers_have_enough_memory(lab: Project) -> None:
    worker("training@large", gpu=400, memory=900)
    assert estimate(lab).fits is True
    worker("training@small", gpu=24, memory=900)
    told = estimate(lab)
    assert (told.fits, told.workers, told.machine.worker) == (None, 2, "training@small")
    assert launch_run(project=lab, kind="sft", recipe=EIGHT_B, inputs={}, user=None).state == "queued"


def test_error_for_a_run_that_fits_no_worker_suggests_settings_that_fit(
    client_of: Callable[[User | None], APIClient], ada: User, project: Project
) -> None:
    worker("training@gpu", gpu=48)
    asked = {"project": project.slug, "kind": "sft", "recipe": EIGHT_B}
    refused = client_of(ada).post("/api/v1/runs/", asked)
    assert (refused.status_code, refused.json()["type"]) == (400, "does-not-fit")
    detail = refused.json()["detail"]
    assert "NVIDIA RTX 4090 (training@gpu) has 48 GB" in detail
    assert "use_peft=true" in detail
    assert not TrainingRun.objects.exists()
    told = client_of(ada).post("/api/v1/runs/estimate", asked).json()["estimate"]
    assert told["fits"] is False
    fitting = told["fitting"]
    assert {f"recipe.{name}" for name in fitting} == {one["field"] for one in refused.json()["errors"]}
    with_them = asked | {"recipe": EIGHT_B | fitting}
    assert client_of(ada).post("/api/v1/runs/estimate", with_them).json()["estimate"]["fits"] is True
    assert client_of(ada).post("/api/v1/runs/", with_them).status_code == 201
    assert client_of(ada).post("/api/v1/runs/", asked | {"force": True}).status_code == 201


def test_command_needs_the_force_option_to_launch_a_run_that_does_not_fit(lab: Project) -> None:
    worker("training@gpu", gpu=24)
    argv = ["launch_run", "sft", "--project", "lab", "--set", "base_model=Qwen/Qwen3-8B", "--json"]
    with pytest.raises(CommandError, match=r"would fit with .*--force"):
        call_command(*argv, stdout=StringIO())
    assert not TrainingRun.objects.exists()
    said = StringIO()
    call_command(*argv, "--force", stdout=said)
    assert json.loads(said.getvalue())["state"] == "queued"


def test_run_is_refused_if_main_memory_cannot_hold_its_checkpoint(lab: Project) -> None:
    worker("training@gpu", gpu=400, memory=32)
    with pytest.raises(Problem, match="of main memory"):
        launch_run(project=lab, kind="sft", recipe=EIGHT_B, inputs={}, user=None)


@pytest.mark.parametrize("silent", [None, 3600])
def test_run_is_not_refused_if_no_worker_is_running(lab: Project, silent: float | None) -> None:
    if silent is not None:
        worker("training@gone", gpu=8, silent=silent)
    run = launch_run(project=lab, kind="sft", recipe=EIGHT_B, inputs={}, user=None)
    assert run.state == "queued"


def test_run_is_not_refused_if_its_size_is_unknown(lab: Project) -> None:
    worker("training@gpu", gpu=8)
    recipe = {"base_model": "someone/mystery"}
    assert launch_run(project=lab, kind="sft", recipe=recipe, inputs={}, user=None).state == "queued"


def test_suggested_settings_are_the_cheapest_that_fit() -> None:
    recipe = parse_recipe(kind="ppo", settings={"micro_batch_tokens": 4096})

    def search(fits: Callable[[Any], bool | None]) -> dict[str, Any] | None:
        return fitting_settings(recipe, fits, stage="update")

    assert search(lambda one: one.micro_batch_tokens <= 1024) == {"micro_batch_tokens": 1024}
    assert search(lambda one: one.gradient_checkpointing) == {"gradient_checkpointing": True}
    both = {"dtype": "bfloat16", "critic": "shared"}
    assert search(lambda one: one.dtype == "bfloat16" and one.critic_kind != "separate") == both
    assert search(lambda one: one.use_peft) == {"use_peft": True}
    assert search(lambda one: None if one.use_peft else False) == {"use_peft": True}
    assert search(lambda one: False) is None
    few = parse_recipe(kind="dpo", settings={"num_layers_unfrozen": 2})
    assert fitting_settings(few, lambda one: one.use_peft, stage="update") == {  # type: ignore[attr-defined]
        "use_peft": True,
        "num_layers_unfrozen": None,
    }
    server = parse_recipe(kind="sample", settings={"generation_memory": 4})
    fits = fitting_settings(server, lambda one: one.generation_memory < 3, stage="generate")  # type: ignore[attr-defined]
    assert fits == {"generation_memory": 2.0}


def test_sharding_is_suggested_only_if_several_processes_train_all_weights() -> None:
    def search(fits: Callable[[Any], bool | None], **settings: Any) -> dict[str, Any] | None:
        return fitting_settings(parse_recipe(kind="ppo", settings=settings), fits, stage="update")

    assert search(lambda one: one.sharding == "full", processes=2) == {"sharding": "full"}
    assert search(lambda one: one.sharding == "full", processes=1) is None
    assert search(lambda one: one.sharding == "full", processes=2, num_layers_unfrozen=2) is None
    # A shared critic and LoRA can't be combined with sharding.
    given = {"processes": 2, "sharding": "full"}
    assert search(lambda one: one.critic == "shared", **given) == {"critic": "shared", "sharding": "none"}
    assert search(lambda one: one.use_peft, **given) == {"use_peft": True, "sharding": "none"}
