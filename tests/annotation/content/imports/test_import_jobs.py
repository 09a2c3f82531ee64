"""An uploaded file is imported by a worker. The API returns the import's state, progress and report."""

from __future__ import annotations

import gzip
import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.import_jobs import launch, transitions, uploads
from annotation.content.import_jobs.execute import execute_import
from annotation.content.importing.imports import import_file
from annotation.models import AuditEntry, Import, Project, Prompt, RankingTask, TaskResponse, User
from preferences.formats.containers import limits
from tests.annotation.content.imports.jobs import executed, imported, upload
from tests.field_cases import case

ClientOf = Callable[[User | None], APIClient]
IMPORTS = "/api/v1/projects/support/imports/"


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTEFACTS = tmp_path
    return tmp_path


@pytest.fixture
def manager(project: Project, mona: User, client_of: ClientOf) -> APIClient:
    return client_of(mona)


def rows(count: int, start: int = 0) -> bytes:
    return b"".join(
        json.dumps({"prompt": f"Question {number}", "responses": ["yes", "no"]}).encode() + b"\n"
        for number in range(start, start + count)
    )


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "imports").glob("*"))


def state_of(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["state"]


def test_upload_is_queued_and_then_imported(manager: APIClient, artefacts: Path) -> None:
    response = upload(manager, rows(3) + b"{broken\n", "mine.jsonl", overlap="2", priority="7")
    queued = response.json()
    assert (response.status_code, queued["state"], queued["report"]) == (202, "queued", None)
    assert (queued["file_name"], queued["size"], queued["project"]) == (
        "mine.jsonl",
        len(rows(3)) + 8,
        "support",
    )
    assert (queued["created_by"], queued["dry_run"]) == ("mona", False)
    assert response["Location"] == f"/api/v1/imports/{queued['id']}/"
    assert files(artefacts) == [queued["id"]]
    assert not Prompt.objects.exists()

    done = executed(manager, response)
    assert (done["state"], done["problem"], done["progress"]) == (
        "succeeded",
        None,
        {"share": 1.0, "read": 4, "failed": 1},
    )
    assert (done["report"]["tasks"], done["report"]["failed"], done["report"]["stopped"]) == (3, 1, "")
    assert set(RankingTask.objects.values_list("overlap", "priority")) == {(2, 7)}
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]
    assert files(artefacts) == []


def test_api_and_command_line_produce_the_same_report(
    manager: APIClient, project: Project, tmp_path: Path
) -> None:
    data = rows(3) + b"{broken\n"
    file = tmp_path / "rows.jsonl"
    file.write_bytes(data)
    expected = import_file(project=project, file=file, dry_run=True).to_json()
    assert imported(manager, data, dry_run="true") == expected
    assert not Prompt.objects.exists()


def test_upload_reports_rows_that_cannot_be_stored_and_imports_the_others(manager: APIClient) -> None:
    report = imported(manager, (case("19-nul-and-surrogates") / "input.jsonl").read_bytes())
    assert (report["read"], report["failed"], report["rankings"]) == (6, 4, 2)
    assert sorted(line for group in report["reasons"] for line in group["lines"]) == [2, 3, 4, 5]
    assert set(Prompt.objects.values_list("messages__0__content", flat=True)) == {"p1", "p6"}


def test_complete_rows_of_a_truncated_archive_are_imported(manager: APIClient) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("a.jsonl", rows(3))
        files.writestr("b.jsonl", rows(3, 3))
    report = imported(manager, archive.getvalue()[:-40], "rows.zip")
    assert (report["tasks"], report["failed"]) == (6, 1)


def test_uploader_is_the_actor_of_the_imported_rankings(
    manager: APIClient, mona: User, project: Project
) -> None:
    ranked = {"prompt": "Where?", "responses": ["Here.", "There."], "tiers": [[0], [1]]}
    assert imported(manager, json.dumps(ranked).encode())["rankings"] == 1
    entries = AuditEntry.objects.filter(table="annotation_ranking", project_id=project.pk)
    assert set(entries.values_list("actor", flat=True)) == {f"user:{mona.pk}"}


def test_imports_are_listed_newest_first_without_reports(manager: APIClient) -> None:
    imported(manager, rows(1), "first.jsonl")
    upload(manager, rows(2), "second.jsonl")
    found = manager.get(IMPORTS).json()["results"]
    assert [(one["file_name"], one["state"]) for one in found] == [
        ("second.jsonl", "queued"),
        ("first.jsonl", "succeeded"),
    ]
    assert "report" not in found[0]


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("rita", 403), ("oscar", 404), ("ada", 200)])
def test_only_managers_and_admins_see_and_cancel_imports(
    manager: APIClient, client_of: ClientOf, request: pytest.FixtureRequest, who: str, status: int
) -> None:
    id = upload(manager, rows(1)).json()["id"]
    client = client_of(request.getfixturevalue(who))
    assert client.get(f"/api/v1/imports/{id}/").status_code == status
    assert client.get(IMPORTS).status_code == status
    assert client.post(f"/api/v1/imports/{id}/cancel").status_code == status
    assert Import.objects.get().state == ("cancelled" if status == 200 else "queued")


def test_cancelled_queued_import_is_never_executed(manager: APIClient, artefacts: Path) -> None:
    id = upload(manager, rows(1)).json()["id"]
    for _ in range(2):  # idempotent
        assert state_of(manager.post(f"/api/v1/imports/{id}/cancel")) == (200, "cancelled")
    execute_import(import_id=UUID(id))
    assert not Prompt.objects.exists()


def test_finished_import_cannot_be_cancelled(manager: APIClient) -> None:
    done = executed(manager, upload(manager, rows(1)))
    response = manager.post(f"/api/v1/imports/{done['id']}/cancel")
    assert (response.status_code, "already succeeded" in response.json()["detail"]) == (409, True)


def test_failed_rows_are_grouped_by_reason(manager: APIClient) -> None:
    bad = [b'{"prompt": "Q", "responses": ["a", 5]}\n'] * 30 + [b"{broken\n", b"[1]\n", b'{"prompt": ""}\n']
    report = imported(manager, rows(1) + b"".join(bad))
    groups = [(group["count"], group["lines"][:2], len(group["lines"])) for group in report["reasons"]]
    assert groups[0] == (30, [2, 3], 20)
    assert [group[:2] for group in groups[1:]] == [(1, [32]), (1, [33]), (1, [34])]
    assert report["failed"] == len(report["errors"]) == 33
    assert report["reasons"][0]["reason"] == report["errors"][0]["reason"]


def test_import_stops_at_the_row_limit_and_reports_the_limit(manager: APIClient, settings: Settings) -> None:
    settings.IMPORT_MAX_ROWS = 5
    assert executed(manager, upload(manager, rows(5)))["state"] == "succeeded"
    found = executed(manager, upload(manager, rows(6, start=100)))
    assert (found["state"], found["problem"]["type"]) == ("failed", "import-limit")
    assert found["problem"]["detail"].startswith(
        "The import stopped at the limit of 5 rows (RANKLOOP_IMPORT_MAX_ROWS). The rows before the limit"
    )
    assert (found["report"]["read"], found["report"]["tasks"]) == (5, 5)


def test_import_stops_at_the_time_limit(manager: APIClient, settings: Settings) -> None:
    settings.IMPORT_MAX_SECONDS = 0
    found = executed(manager, upload(manager, rows(1)))
    assert (found["state"], "time limit of 0 s" in found["problem"]["detail"]) == ("failed", True)
    assert not Prompt.objects.exists()


def test_import_stops_at_the_limit_of_unpacked_bytes(
    manager: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_EXPANDED_BYTES", 100_000)
    monkeypatch.setattr(limits, "HEAD_BYTES", 1000)
    response = upload(manager, gzip.compress(rows(5000)))
    found = executed(manager, response)
    assert (found["state"], found["problem"]["type"]) == ("failed", "import-limit")
    assert (
        "limit of 100,000 unpacked bytes (RANKLOOP_IMPORT_MAX_EXPANDED_BYTES)" in found["problem"]["detail"]
    )
    assert 0 < found["report"]["tasks"] == Prompt.objects.count() < 5000


def test_dry_run_that_stops_at_a_limit_does_not_claim_that_rows_were_kept(
    manager: APIClient, settings: Settings
) -> None:
    settings.IMPORT_MAX_ROWS = 5
    found = executed(manager, upload(manager, rows(6), dry_run="true"))
    assert (found["state"], found["report"]["read"]) == ("failed", 5)
    assert ". Nothing was imported. Split the file" in found["problem"]["detail"]


def test_errors_in_an_archive_are_reported_with_file_and_line(manager: APIClient) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("train-0.jsonl", "train-1.jsonl"):
            start = 10 * int(name[6])
            archive.writestr(name, rows(start + 1, start=start) + b"{broken\n" + rows(1, start=start + 500))
    report = imported(manager, packed.getvalue())
    (group,) = report["reasons"]
    assert (group["count"], group["lines"], group["files"]) == (
        2,
        [2, 12],
        ["train-0.jsonl", "train-1.jsonl"],
    )
    assert group["reason"].startswith("the line is not valid JSON")
    assert [error["file"] for error in report["errors"]] == ["train-0.jsonl", "train-1.jsonl"]


def test_project_has_a_maximum_number_of_unfinished_imports(
    manager: APIClient, monkeypatch: pytest.MonkeyPatch, artefacts: Path
) -> None:
    monkeypatch.setattr(launch, "MAX_UNFINISHED", 2)
    assert [upload(manager, rows(1)).status_code for _ in range(3)] == [202, 202, 409]
    assert len(files(artefacts)) == 2


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"prompt": ["a"]}', "names of columns"),
        ('{"winner": "a"}', "'winner' is not one of prompt"),
    ],
)
def test_invalid_mapping_is_refused(manager: APIClient, mapping: str, reason: str) -> None:
    response = upload(manager, rows(1), mapping=mapping)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "mapping")
    assert reason in response.json()["errors"][0]["reason"]


def test_preview_omits_columns_whose_names_cannot_be_sent(manager: APIClient) -> None:
    file = SimpleUploadedFile("rows.jsonl", b'{"a\\ud800": 1, "b": 2}\n')
    response = manager.post(f"{IMPORTS}preview", {"file": file}, format="multipart")
    assert response.status_code == 200
    assert [column["name"] for column in response.json()["columns"]] == ["b"]


def test_import_of_a_missing_upload_fails_with_a_reason(manager: APIClient, artefacts: Path) -> None:
    response = upload(manager, rows(1))
    (artefacts / "imports" / response.json()["id"]).unlink()
    found = executed(manager, response)
    assert (found["state"], found["problem"]["type"]) == ("failed", "upload-missing")
    assert str(artefacts) not in found["problem"]["detail"]


def test_unexpected_error_fails_the_import_and_deletes_the_upload(
    manager: APIClient, artefacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = upload(manager, rows(1))
    Import.objects.update(options={"votes": "close", "round": "not a number"})
    found = executed(manager, response)
    assert (found["state"], found["problem"]["status"]) == ("failed", 500)
    assert "Import the same file again" in found["problem"]["detail"]
    assert files(artefacts) == []


def test_many_responses_become_tasks_of_the_chosen_size(manager: APIClient) -> None:
    row = {"prompt": "Q", "responses": [str(number) for number in range(5)]}
    ranked = {"prompt": "R", "responses": ["a", "b", "c"], "tiers": [[0], [1], [2]]}
    data = "\n".join(map(json.dumps, (row, ranked))).encode()
    refused = upload(manager, data, responses_per_task="1")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "responses_per_task")
    report = imported(manager, data, responses_per_task="2")
    sizes = [TaskResponse.objects.filter(task=task).count() for task in RankingTask.objects.order_by("id")]
    assert (report["tasks"], sizes) == (4, [2, 2, 2, 3])
    assert imported(manager, data, responses_per_task="2")["unchanged"] == 2


def test_database_rejects_inconsistent_import_states(manager: APIClient) -> None:
    upload(manager, rows(1))
    for changes, constraint in (
        ({"state": "running"}, "import_running_was_claimed"),
        ({"state": "succeeded", "finished_at": timezone.now()}, "import_success_has_a_report"),
        ({"state": "failed", "finished_at": timezone.now()}, "import_failure_has_a_cause"),
        ({"finished_at": timezone.now()}, "import_finished_when_final"),
        ({"state": "lost"}, "import_finished_when_final"),
    ):
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Import.objects.update(**changes)


def test_orphaned_uploads_are_removed(manager: APIClient, artefacts: Path) -> None:
    kept = upload(manager, rows(1)).json()["id"]
    folder = artefacts / "imports"
    (folder / f"{kept}.download-1").mkdir()
    (folder / "orphan.download-1").mkdir()
    (folder / "orphan.download-1" / "file").write_bytes(b"x")
    old = time.time() - (uploads.ORPHANED_AFTER + timedelta(minutes=1)).total_seconds()
    for name in ("orphan", "orphan.partial", "new"):
        (folder / name).write_bytes(b"x")
    for name in ("orphan", "orphan.partial", "orphan.download-1", kept, f"{kept}.download-1"):
        os.utime(folder / name, (old, old))
    uploads.remove_orphaned_uploads()
    assert files(artefacts) == sorted([kept, f"{kept}.download-1", "new"])


def test_repeated_sweeps_wake_a_worker_only_once(
    manager: APIClient, django_capture_on_commit_callbacks: Any
) -> None:
    upload(manager, rows(1))
    Import.objects.update(woken_at=timezone.now() - transitions.REWAKE_AFTER - timedelta(minutes=1))
    with django_capture_on_commit_callbacks() as first:
        transitions.sweep_imports()
    with django_capture_on_commit_callbacks() as second:
        transitions.sweep_imports()
    assert (len(first), len(second)) == (1, 0)
