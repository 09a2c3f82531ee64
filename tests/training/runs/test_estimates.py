"""A run's time and memory are estimated before launch, from earlier runs or, if there are none, from
operation counts. An estimate states its basis, and estimating writes nothing to the database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.content.adding import add_prompts
from annotation.content.importing.imports import import_file
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import DatasetSnapshot, Project, User
from config.problems import Problem
from tests.training.conftest import ModelMaker, Rank, RunMaker
from tests.training.rlhf.small_world import arbitrary_reward_model, untrained_policy
from training import demo_world
from training.models import ModelVersion, TrainingRun
from training.rlhf.models.loading.saving import save_model
from training.rlhf.planning.cost import Data
from training.runs import transitions
from training.runs.estimates import estimates
from training.runs.estimates.estimates import RunEstimate, estimate_run
from training.runs.estimates.reading import data_of
from training.runs.launch import launch_run
from training.runs.process.main import run_attempt
from training.runs.recipes import catalog
from training.runs.recipes.catalog import KINDS

TIME_FACTOR = 2.5  # tolerance factor for short runs on a loaded machine
SMALL = {"max_demonstrations": 64, "batch_size": 8, "sample_prompts": 1, "sample_tokens": 4}


def estimate(project: Project, kind: str, recipe: dict[str, Any] | None = None, **inputs: str) -> RunEstimate:
    return estimate_run(project=project, kind=kind, recipe=recipe or {}, inputs=inputs)


@pytest.fixture
def policy(make_model: ModelMaker, tmp_path: Path) -> ModelVersion:
    model = make_model(name="lab-sft-1")
    shutil.rmtree(model.folder)
    save_model(*untrained_policy(), model.folder)
    return model


@pytest.fixture
def judge(make_model: ModelMaker, policy: ModelVersion) -> ModelVersion:
    model = make_model(name="lab-rm-1", kind="reward_model", parent=policy)
    shutil.rmtree(model.folder)
    save_model(*arbitrary_reward_model(), model.folder)
    return model


@pytest.fixture
def prompts(lab: Project) -> None:
    add_prompts(project=lab, prompts=[(messages, {}) for messages in demo_world.prompts(40, 1)])


@pytest.mark.usefixtures("prompts", "judge")
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_run_kind_can_be_estimated_without_earlier_runs(
    kind: str, lab: Project, alice: User, rank: Rank
) -> None:
    rank(lab, alice, n=3)
    told = estimate(lab, kind)
    assert 0 < told.seconds.low < told.seconds.expected < told.seconds.high
    assert 0 < told.memory.low < told.memory.expected < told.memory.high
    assert sum(part.bytes for part in told.parts) == pytest.approx(told.memory.expected)
    assert (told.runs, told.machine.basis) == (0, "server")
    assert "Assumed" in told.time_basis
    assert (told.disk.model > 0) == (kind not in ("sample", "evaluate"))
    assert (told.disk.checkpoints > told.disk.model) == (kind not in ("sample", "evaluate"))
    assert not TrainingRun.objects.exists()
    assert not DatasetSnapshot.objects.exists()


@pytest.mark.usefixtures("prompts")
def test_estimated_time_grows_with_the_work_and_memory_with_the_batch_size(
    lab: Project, judge: ModelVersion
) -> None:
    usual, thorough = (
        estimate(lab, "ppo"),
        estimate_run(project=lab, kind="ppo", recipe={}, inputs={}, preset="thorough"),
    )
    # The sample answers take the same time in both runs.
    assert thorough.seconds.expected > 4 * usual.seconds.expected
    wider = estimate(lab, "sft", {"batch_size": 256, "micro_batch_tokens": 65_536})
    assert wider.memory.expected > estimate(lab, "sft").memory.expected
    large = estimate(lab, "sft", {"base_model": "Qwen/Qwen3-8B"})
    assert large.weights == 8_000_000_000
    assert large.memory.expected > 16 * large.weights
    assert large.fits is False


@pytest.mark.django_db(transaction=True)
def test_estimate_is_calibrated_by_a_finished_run(lab: Project) -> None:
    took = ran(lab, SMALL)
    machine = took.result["machine"]
    assert (machine["device"], machine["threads"]) == ("cpu", 1)
    assert 1e8 < machine["peak_bytes"] < machine["memory_bytes"]
    seconds = (took.finished_at - took.started_at).total_seconds()  # type: ignore[operator]
    same = estimate(lab, "sft", SMALL)
    assert (same.runs, same.machine.basis, same.fits) == (1, "earlier_run", True)
    assert "one earlier run of this kind that started from demo-world" in same.time_basis
    assert same.seconds.expected == pytest.approx(seconds)
    assert same.seconds.low < seconds < same.seconds.high
    # The duration of the first run must predict the duration of a run with four times the work.
    more = SMALL | {"epochs": 4}
    foretold = estimate(lab, "sft", more).seconds.expected
    longer = ran(lab, more)
    seconds = (longer.finished_at - longer.started_at).total_seconds()  # type: ignore[operator]
    assert foretold / TIME_FACTOR < seconds < foretold * TIME_FACTOR


def ran(project: Project, recipe: dict[str, Any]) -> TrainingRun:
    run = launch_run(project=project, kind="sft", recipe=recipe, inputs={}, user=None)
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert run.state == "succeeded", run.error
    return run


@pytest.mark.usefixtures("prompts")
def test_estimate_uses_only_local_runs_of_the_same_kind_and_base_model(
    lab: Project, policy: ModelVersion, make_model: ModelMaker, make_run: RunMaker
) -> None:
    other = make_model(name="lab-sft-2", base_model="Qwen/Qwen3-0.6B")
    shutil.rmtree(other.folder)
    save_model(*untrained_policy(), other.folder)
    recipe = KINDS["sample"].recipe().model_dump(mode="json")

    def done(kind: str, model: ModelVersion, seconds: float, **place: str) -> None:
        now = timezone.now()
        make_run(
            kind=kind,
            recipe=recipe | place if kind == "sample" else {},
            inputs={"policy": model.name},
            state="succeeded",
            attempt=1,
            started_at=now - timedelta(seconds=seconds),
            finished_at=now,
            result={"counts": {"prompts_answered": 32}},
        )

    done("sample", other, 5000)
    done("evaluate", policy, 7000)
    done("sample", policy, 9000, server="http://gpu-1:8000", server_model="policy")
    assert estimate(lab, "sample", policy=policy.name).runs == 0
    for seconds in (100, 110, 130):
        done("sample", policy, seconds)
    told = estimate(lab, "sample", policy=policy.name)
    assert told.runs == 3
    assert told.seconds.expected == pytest.approx(110)
    assert told.seconds.low == pytest.approx(100 * estimates.NOISE_BELOW)
    assert told.seconds.high == pytest.approx(130 * estimates.NOISE_ABOVE)
    twice = estimate(lab, "sample", {"responses_per_prompt": 8}, policy=policy.name)
    assert told.seconds.expected < twice.seconds.expected < 2.2 * told.seconds.expected


def test_estimate_rejects_any_input_that_a_launch_rejects(lab: Project, tmp_path: Path) -> None:
    def reasons(kind: str, recipe: dict[str, Any] | None = None, **inputs: str) -> set[str]:
        with pytest.raises(Problem) as caught:
            estimate(lab, kind, recipe, **inputs)
        return {error.field for error in caught.value.errors}

    assert reasons("ppo") == {"inputs.policy", "inputs.reward_model", "project"}
    assert reasons("ppo", {"clip": 9}) == {"recipe.clip"}
    assert reasons("sft", {"base_model": str(tmp_path)}) == {"recipe.base_model"}
    assert reasons("sft", {"base_model": "someone/mystery"}) == {"recipe.base_model"}
    best = {"demonstrations": "best_responses"}
    assert reasons("sft", best, snapshot="none-such") == {"inputs.snapshot"}
    assert reasons("sft", best) == set()  # data is not required for an estimate


def test_estimate_counts_only_rankings_with_rewrites_if_rewrites_are_imitated(lab: Project) -> None:
    rows = [{"prompt": f"Question {n}?", "responses": ["yes", "no"], "tiers": [[0], [1]]} for n in range(5)]
    rows[0]["rewrite"] = "Maybe."
    import_file(project=lab, file=BytesIO("\n".join(map(json.dumps, rows)).encode()))
    freeze_snapshot(project=lab, name="v1")
    for answers, expected in {"rewrites": 1, "all": 5}.items():
        recipe = catalog.parse_recipe(kind="sft", settings={"demonstrations": answers})
        for snapshot in ("", "v1"):
            found = data_of(project=lab, kind="sft", recipe=recipe, snapshot=snapshot)
            assert found.items == expected, (answers, snapshot)


def test_a_few_long_prompts_raise_the_estimated_memory(lab: Project, alice: User, rank: Rank) -> None:
    rank(lab, alice, n=30)
    rows = [{"prompt": f"Question {n}?", "responses": ["yes", "no"]} for n in range(30)]
    import_file(project=lab, file=BytesIO("\n".join(map(json.dumps, rows)).encode()))
    settings = {"base_model": "Qwen/Qwen3-0.6B", "use_peft": True}

    def found() -> tuple[Data, float]:
        recipe = catalog.parse_recipe(kind="reward_model", settings=settings)
        data = data_of(project=lab, kind="reward_model", recipe=recipe)
        return data, estimate(lab, "reward_model", settings).memory.expected

    before, small = found()
    long = [{"prompt": "Why? " * 2000, "responses": ["yes", "no"]}]
    import_file(project=lab, file=BytesIO("\n".join(map(json.dumps, long)).encode()))
    after, large = found()
    assert after.longest > 2000
    # One prompt of 2,500 tokens among about 60 prompts raises the mean length by 40 tokens and the standard
    # deviation by 320.
    assert after.prompt_deviation - before.prompt_deviation > 5 * (after.prompt - before.prompt)
    mean_only = (after.prompt - before.prompt) / before.prompt
    assert large / small > 1 + mean_only / 2


def test_estimate_reads_model_size_from_the_hub_cache(
    lab: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    save_model(*untrained_policy(), tmp_path / "models--someone--mystery" / "snapshots" / "abc")
    assert estimate(lab, "sft", {"base_model": "someone/mystery"}).weights < 1e6


def test_only_admins_can_request_estimates(
    client_of: Callable[[User | None], APIClient], ada: User, mona: User, project: Project
) -> None:
    asked = {"project": "support", "kind": "sft", "preset": "quick"}
    assert client_of(mona).post("/api/v1/runs/estimate", asked).status_code == 403
    told = client_of(ada).post("/api/v1/runs/estimate", asked)
    assert told.status_code == 200
    estimate = told.json()["estimate"]
    assert (estimate["model"], told.json()["refused"]) == ("demo-world", [])
    assert estimate["seconds"]["low"] < estimate["seconds"]["high"]
    assert {"name", "bytes", "parts", "host_bytes"} == set(estimate["stages"][0])
    assert estimate["peak_stage"] in {stage["name"] for stage in estimate["stages"]}
    # An incomplete form is not an error.
    half = client_of(ada).post("/api/v1/runs/estimate", asked | {"recipe": {"epoch": 1}})
    assert (half.status_code, half.json()["estimate"]) == (200, None)
    assert [reason["field"] for reason in half.json()["refused"]] == ["recipe.epoch"]
    nowhere = client_of(ada).post("/api/v1/runs/estimate", asked | {"project": "no-such"})
    assert nowhere.status_code == 422
