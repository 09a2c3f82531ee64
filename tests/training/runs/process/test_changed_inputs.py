"""A run fails before it uses a snapshot or model whose files have changed since they were stored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.models import Project, User
from config.problems import Problem
from tests.training.conftest import ModelMaker, Rank
from training.models import ModelVersion, TrainingRun
from training.registry.stages import promote_model
from training.rlhf.report.reward_report import JSON_NAME
from training.runs import transitions
from training.runs.launch import launch_run
from training.runs.model_files import ModelChanged, verify_model, verify_models
from training.runs.process.main import run_attempt

FEW = {"max_prompts": 2, "max_new_tokens": 4}


def ran(project: Project, kind: str, recipe: dict[str, object], before: Callable[[], None]) -> TrainingRun:
    """Launch a run, change something, and execute the run."""
    run = launch_run(project=project, kind=kind, recipe=recipe, inputs={}, user=None)
    before()
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    return run


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-8] ^= 1
    file.write_bytes(content)


@pytest.mark.django_db(transaction=True)
def test_run_fails_if_its_snapshot_was_replaced(ranked: ModelVersion, rank: Rank, ben: User) -> None:
    project = ranked.project

    def swap() -> None:
        rank(project, ben, n=1)
        other = freeze_snapshot(project=project, name="other")
        shutil.copyfile(snapshot_path(other), snapshot_path(project.snapshots.get(name="v1")))

    run = ran(project, "reward_model", {"epochs": 1}, swap)
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["kind"] == "input_changed"
    sha256 = project.snapshots.get(name="v1").sha256
    assert f"expected SHA-256 {sha256}, found " in run.error["detail"]
    assert "Restore the file from a backup, or freeze a new snapshot" in run.error["detail"]


@pytest.mark.django_db(transaction=True)
def test_trained_model_has_checksums_and_a_changed_weight_is_never_loaded(
    ranked: ModelVersion,
) -> None:
    made = ran(ranked.project, "sft", {"demonstrations": "best_responses", "epochs": 1}, lambda: None)
    assert made.state == "succeeded", made.error
    model = ModelVersion.objects.get(run=made)
    assert set(model.files) == {path.name for path in model.folder.iterdir()}  # type: ignore[arg-type]
    promote_model(model=model, by=None, reason="Test")

    weights = model.folder / "model.safetensors"
    run = ran(model.project, "sample", FEW, lambda: flip_a_byte(weights))
    assert run.state == "failed"
    assert run.error is not None
    assert run.error["kind"] == "input_changed"
    assert (
        f"The file model.safetensors of model {model.name} has changed since it was stored: expected"
        in run.error["detail"]
    )


@pytest.mark.django_db
def test_base_model_of_an_adapter_is_verified_too(
    make_model: ModelMaker,
) -> None:
    base, adapter = make_model(name="lab-sft-1"), make_model(name="lab-rm-1", kind="reward_model")
    (base.folder / "model.safetensors").write_bytes(b"weights of the base")
    (adapter.folder / "config.json").unlink()
    (adapter.folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(base.folder)})
    )
    (adapter.folder / "adapter_model.safetensors").write_bytes(b"weights of the adapter")
    verify_models(adapter.folder)  # records the checksums of both models
    assert ModelVersion.objects.filter(files__isnull=False).count() == 2
    flip_a_byte(base.folder / "model.safetensors")
    with pytest.raises(ModelChanged, match=r"model\.safetensors of model lab-sft-1"):
        verify_models(adapter.folder)


@pytest.mark.django_db
def test_launch_and_promotion_refuse_a_model_with_an_added_file(ranked: ModelVersion) -> None:
    verify_model(ranked)
    (ranked.folder / "extra.json").write_text("{}")
    with pytest.raises(Problem, match=r"extra\.json of model lab-sft-1 has changed"):
        promote_model(model=ranked, by=None, reason="Test")
    with pytest.raises(Problem) as refused:
        launch_run(project=ranked.project, kind="sample", recipe={}, inputs={}, user=None)
    (error,) = refused.value.errors
    assert (error.field, "a file that was added later" in error.reason) == ("inputs.policy", True)


@pytest.mark.django_db
def test_report_of_a_changed_model_is_refused(
    make_model: ModelMaker, ada: User, client_of: Callable[[User], APIClient]
) -> None:
    model = make_model(name="lab-rm-1", kind="reward_model")
    report = model.folder / JSON_NAME
    report.write_text("{}")
    verify_model(model)
    report.write_text("[]")
    response = client_of(ada).get(f"/api/v1/models/{model.pk}/report")
    assert (response.status_code, response.json()["type"]) == (500, "model-file-changed")
    assert f"{JSON_NAME} of model lab-rm-1 has changed" in response.json()["detail"]


@pytest.mark.django_db
def test_model_without_stored_checksums_gets_checksums_at_its_first_use(
    ranked: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    assert ranked.files is None
    verify_models(ranked.folder)
    ranked.refresh_from_db()
    assert set(ranked.files) == {path.name for path in ranked.folder.iterdir()}  # type: ignore[arg-type]
    assert "had no stored checksums" in caplog.text


@pytest.mark.django_db
def test_stored_checksums_of_a_model_cannot_be_changed(ranked: ModelVersion) -> None:
    verify_model(ranked)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        ModelVersion.objects.filter(pk=ranked.pk).update(files={})
    promote_model(model=ranked, by=None, reason="Test")  # other columns can change


@pytest.mark.django_db
def test_models_that_are_not_registered_are_not_verified(tmp_path: Path) -> None:
    verify_models("demo-world", "some-owner/some-model", tmp_path)
