"""A full disk ends an upload, a freeze, an export, a run and the demo with an error that names the disk. No
partly written file remains."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO, StringIO
from pathlib import Path

import pytest
import torch
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.management import CommandError, call_command
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.importing.imports import import_file
from annotation.models import DatasetSnapshot, Import, Project, User
from storage.space import DiskFull
from tests.annotation.content.imports.jobs import upload
from tests.storage.small_disk import fill, mounted
from tests.training.conftest import RunMaker
from tests.training.rlhf.small_world import untrained_policy
from training.rlhf.core.checkpoint import Checkpoints
from training.rlhf.models.loading.saving import save_model
from training.runs import transitions
from training.runs.process import log_stream, supervise
from training.runs.process.main import run_attempt
from training.simulation import demo

RANKED = {"prompt": "Q", "responses": ["a", "b"], "tiers": [[1], [0]], "annotator": "kim"}
ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def artefacts(small_disk: Path, settings: Settings) -> Path:
    settings.ARTEFACTS = small_disk
    return small_disk


@pytest.fixture
def manager(project: Project, mona: User, client_of: ClientOf) -> APIClient:
    return client_of(mona)


def rank(project: Project, count: int) -> None:
    lines = (json.dumps({**RANKED, "prompt": os.urandom(3000).hex()}) for _ in range(count))
    import_file(project=project, file=BytesIO("\n".join(lines).encode()))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "filler")


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1_000_000, 3_000_000])  # kept in memory, and in a temporary file
def test_upload_to_a_full_disk_is_refused_with_507(manager: APIClient, artefacts: Path, size: int) -> None:
    fill(artefacts, leave=100_000)
    row = json.dumps({"prompt": "Q" * 1000, "responses": ["yes", "no"]}).encode() + b"\n"
    response = upload(manager, row * (size // len(row) + 1))
    assert (response.status_code, response.json()["type"]) == (507, "disk-full")
    detail = response.json()["detail"]
    assert f"the file system {artefacts}, which contains {artefacts}/imports, has" in detail
    assert f"but {size / 1e6:.1f} MB are needed" in detail
    assert not Import.objects.exists()
    assert files(artefacts) == []


@pytest.mark.django_db
def test_upload_is_refused_with_507_if_the_temporary_folder_is_full(
    manager: APIClient,
    small_disk: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.ARTEFACTS = tmp_path
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    fill(small_disk)
    response = upload(manager, b'{"prompt": "Q", "responses": ["yes", "no"]}\n' * 100_000)
    assert (response.status_code, response.json()["type"]) == (507, "disk-full")
    assert str(small_disk) in response.json()["detail"]
    for (
        left
    ) in gc.get_objects():  # Django deletes the file after the request, but this disk is unmounted earlier
        if type(left) is TemporaryUploadedFile:
            with suppress(OSError):
                left.file.close()  # type: ignore[union-attr]


@pytest.mark.django_db
def test_freeze_on_a_full_disk_is_refused_with_507(
    manager: APIClient, project: Project, artefacts: Path
) -> None:
    rank(project, 30)
    fill(artefacts, leave=50_000)
    response = manager.post("/api/v1/projects/support/snapshots/", {"name": "v1"})
    assert (response.status_code, response.json()["type"]) == (507, "disk-full")
    assert f"which contains {artefacts}/snapshots/support" in response.json()["detail"]
    assert not DatasetSnapshot.objects.exists()
    assert files(artefacts) == []


@pytest.mark.django_db
def test_old_file_is_kept_if_the_new_export_does_not_fit(
    project: Project, small_disk: Path, settings: Settings, tmp_path: Path
) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"
    rank(project, 30)
    call_command("freeze_snapshot", "--project", "support", "--name", "v1", stdout=StringIO())
    out = small_disk / "out.jsonl"
    out.write_text("the old file")
    fill(small_disk, leave=50_000)
    with pytest.raises(CommandError, match=rf"out\.jsonl can't be written: The disk is full.*{small_disk}"):
        call_command("export_snapshot", "v1", "--format", "ranking", "--out", str(out))
    assert (files(small_disk), out.read_text()) == (["out.jsonl"], "the old file")


def test_old_model_is_kept_if_the_new_model_does_not_fit(small_disk: Path) -> None:
    policy = untrained_policy()
    save_model(*policy, small_disk / "policy")
    before = files(small_disk)
    fill(small_disk, leave=100_000)
    with pytest.raises(DiskFull, match=rf"which contains {small_disk}, has .* but 3\d\d\.\d kB are needed"):
        save_model(*policy, small_disk / "policy")
    assert files(small_disk) == before


def test_previous_checkpoint_is_kept_if_the_new_checkpoint_does_not_fit(small_disk: Path) -> None:
    model = torch.nn.Linear(100, 1000)
    optimisers = {"all": torch.optim.Adam(model.parameters())}
    store = Checkpoints(small_disk / "checkpoints", of={})
    store.save(1, {"model": model}, optimisers, {})
    fill(small_disk, leave=100_000)
    changed_at = (small_disk / "checkpoints").stat().st_mtime_ns
    with pytest.raises(DiskFull, match=rf"which contains {small_disk}/checkpoints, has .* but 404\.0 kB are"):
        store.save(2, {"model": model}, optimisers, {})
    # Nothing was written, so the failed save took no disk space from other programs.
    assert (small_disk / "checkpoints").stat().st_mtime_ns == changed_at
    assert [path.name for path in (small_disk / "checkpoints").iterdir()] == ["step-00000001"]
    assert Checkpoints(small_disk / "checkpoints", of={}).resume({"model": model}, optimisers) == ({}, {})


@pytest.mark.django_db(transaction=True)
def test_error_of_a_run_on_a_full_disk_names_the_folder(
    lab: Project, make_run: RunMaker, artefacts: Path
) -> None:
    fill(artefacts, leave=500_000)
    recipe = {"demonstrations": "demo_world", "max_demonstrations": 8, "epochs": 1}
    run = make_run(recipe=recipe)
    attempt = transitions.claim_run(run_id=run.pk, worker="test")
    assert attempt is not None
    run_attempt(run.pk, attempt)
    run.refresh_from_db()
    assert run.error is not None
    assert (run.state, run.error["kind"]) == ("failed", "disk_full")
    assert f"which contains {run.folder}/attempt-1, has" in run.error["detail"]
    assert files(artefacts) == []


@pytest.mark.django_db(transaction=True)
def test_error_of_a_run_whose_log_cannot_be_created_names_the_folder(
    lab: Project, make_run: RunMaker, tmp_path: Path, settings: Settings
) -> None:
    with mounted(tmp_path / "disk", inodes=1) as disk:
        settings.ARTEFACTS = disk
        run = make_run()
        supervise.execute_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.error is not None
    assert (run.state, run.error["kind"]) == ("failed", "disk_full")
    assert f"the file system {disk}, which contains {run.folder}, has" in run.error["detail"]


def test_run_continues_if_the_disk_of_its_log_is_full(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(small_disk)
    with (small_disk / "log").open("w") as log:
        monkeypatch.setattr(sys, "stdout", log)
        monkeypatch.setattr(sys, "stderr", log)
        log_stream.keep_running_without_log()
        for _ in range(100):
            print("x" * 1000, flush=True)  # noqa: T201
        (small_disk / "filler").unlink()
        print("after space was freed", flush=True)  # noqa: T201
    assert "after space was freed" in (small_disk / "log").read_text()


@pytest.mark.django_db
def test_demo_does_not_create_users_if_their_passwords_cannot_be_stored(
    small_disk: Path, settings: Settings
) -> None:
    settings.STATE = small_disk
    (small_disk / demo.LOGINS_FILE).write_text("earlier secret\n")
    fill(small_disk)
    with pytest.raises(CommandError, match=f"The disk is full: .* contains {small_disk}"):
        call_command("create_demo", stdout=StringIO())
    assert not User.objects.filter(username__in=demo.PEOPLE).exists()
    assert files(small_disk) == [demo.LOGINS_FILE]
    assert (small_disk / demo.LOGINS_FILE).read_text() == "earlier secret\n"
