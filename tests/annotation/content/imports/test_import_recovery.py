"""If the worker of an import dies or stops, the import continues after its last stored batch, and no batch is
counted twice."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.content.import_jobs import transitions
from annotation.content.import_jobs.execute import execute_import, worker_is_stopping
from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import BATCH_LINES
from annotation.content.importing.report import ImportReport
from annotation.models import Import, Project, Prompt, Ranking, Sweep, User
from tests.annotation.content.imports.jobs import upload
from tests.annotation.racing import at_once
from tests.embedded.running import eventually
from tests.workers import worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("test_database")]

BATCHES = 15


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RANKLOOP_STATE", str(tmp_path))
    settings.ARTEFACTS = tmp_path / "artefacts"
    return tmp_path / "artefacts"


def full_batches() -> bytes:
    """Exactly enough rows to fill BATCHES batches; each row contains a ranking."""
    lines = [
        json.dumps({"prompt": f"Question {number}", "responses": ["yes", "no"], "tiers": [[0], [1]]})
        for number in range(BATCHES * BATCH_LINES)
    ]
    return "\n".join(lines).encode()


@pytest.fixture
def queued(project: Project, mona: User, client_of: Callable[[User | None], APIClient]) -> Import:
    response = upload(client_of(mona), full_batches())
    assert response.status_code == 202, response.content
    return Import.objects.get()


def lose_imports() -> None:
    """Sets all heartbeats to one hour ago, and records that the sweep has run without a break for a day."""
    now = timezone.now()
    Import.objects.update(heartbeat_at=now - timedelta(hours=1))
    passes = {"passed_at": now, "unbroken_since": now - timedelta(days=1)}
    Sweep.objects.update_or_create(name=transitions.SWEEP, defaults=passes)


def stored_batches() -> int:
    report = Import.objects.values_list("report", flat=True).get()
    return 0 if report is None else int(report["read"]) // BATCH_LINES


def priorities_of_database_processes() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return [os.getpriority(os.PRIO_PROCESS, process) for (process,) in cursor.fetchall()]


def assert_complete(found: Import) -> None:
    found.refresh_from_db()
    assert found.state == "succeeded", found.error
    report = found.report
    total = BATCHES * BATCH_LINES
    assert (report["read"], report["prompts"], report["rankings"]) == (total, total, total)
    assert (report["unchanged"], report["failed"]) == (0, 0)
    assert Prompt.objects.count() == Ranking.objects.count() == total


def test_import_continues_after_its_last_batch_if_its_worker_is_killed(
    queued: Import, tmp_path: Path, artefacts: Path
) -> None:
    with worker("imports", tmp_path / "worker.log") as process:
        eventually(lambda: stored_batches() >= 2, seconds=60, what="two batches are stored")
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        assert 19 in priorities_of_database_processes()
        process.kill()
        process.wait()
    kept = stored_batches()
    assert 2 <= kept < BATCHES
    assert Prompt.objects.count() == kept * BATCH_LINES
    transitions.sweep_imports()  # the heartbeat is still recent
    assert Import.objects.get().state == "running"
    lose_imports()
    transitions.sweep_imports()
    assert Import.objects.get().state == "queued"
    execute_import(import_id=queued.pk)
    assert_complete(queued)
    assert queued.attempt == 2
    assert list((artefacts / "imports").glob("*")) == []


def test_worker_that_is_stopping_requeues_its_import(queued: Import, tmp_path: Path) -> None:
    with worker("imports", tmp_path / "worker.log"):
        eventually(lambda: stored_batches() >= 1, seconds=60, what="a batch is stored")
    queued.refresh_from_db()
    assert (queued.state, queued.tries, queued.attempt) == ("queued", 0, 1)
    execute_import(import_id=queued.pk)
    assert_complete(queued)


@contextmanager
def executing(found: Import) -> Iterator[None]:
    """Executes the import in a thread. On exit, the context waits for the thread to finish."""

    def run() -> None:
        try:
            execute_import(import_id=found.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(120)
        assert not thread.is_alive()


def test_cancelled_import_keeps_its_batches_and_a_second_import_adds_the_rest(
    queued: Import, project: Project, client_of: Callable[[User | None], APIClient], mona: User
) -> None:
    with executing(queued):
        eventually(lambda: stored_batches() >= 1, seconds=60, what="a batch is stored")
        response = client_of(mona).post(f"/api/v1/imports/{queued.pk}/cancel")
        assert response.json()["cancel_requested"]
    found = client_of(mona).get(f"/api/v1/imports/{queued.pk}/").json()
    assert found["state"] == "cancelled"
    kept = found["report"]["prompts"]
    assert 0 < kept == Prompt.objects.count() < BATCHES * BATCH_LINES
    assert list((Path(settings.ARTEFACTS) / "imports").glob("*")) == []
    again = import_file(project=project, file=io.BytesIO(full_batches()))
    assert (again.unchanged, again.prompts) == (kept, BATCHES * BATCH_LINES - kept)


def test_import_continues_after_its_last_batch_if_its_connection_is_lost(queued: Import) -> None:
    with executing(queued):
        eventually(lambda: stored_batches() >= 1, seconds=60, what="a batch is stored")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
    queued.refresh_from_db()
    assert (queued.state, queued.attempt, queued.error) == ("queued", 1, None)
    kept = stored_batches()
    assert 1 <= kept < BATCHES
    execute_import(import_id=queued.pk)
    assert_complete(queued)
    assert queued.attempt == 2


def test_import_fails_after_repeated_database_failures_and_names_the_last(queued: Import) -> None:
    cause = {"type": "database-failed", "detail": "No space left on device"}
    for number in range(1, transitions.MAX_TRIES + 1):
        assert transitions.claim_import(import_id=queued.pk) == number
        assert transitions.requeue_import(import_id=queued.pk, attempt=number, cause=cause)
    queued.refresh_from_db()
    assert (queued.state, queued.error) == ("failed", cause)


def test_stale_attempt_cannot_store_anything(queued: Import) -> None:
    attempt = transitions.claim_import(import_id=queued.pk)
    assert attempt == 1
    lose_imports()
    transitions.sweep_imports()
    assert transitions.claim_import(import_id=queued.pk) == 2
    report = ImportReport("rankloop")
    assert not transitions.store_checkpoint(import_id=queued.pk, attempt=1, report=report)
    assert not transitions.succeed_import(import_id=queued.pk, attempt=1, report=report)
    assert not transitions.fail_import(import_id=queued.pk, attempt=1, error={"detail": "x"})
    assert not transitions.requeue_import(import_id=queued.pk, attempt=1)
    queued.refresh_from_db()
    assert (queued.state, queued.report) == ("running", None)


def test_only_one_of_several_workers_claims_an_import(queued: Import) -> None:
    claims = at_once([lambda: transitions.claim_import(import_id=queued.pk)] * 8)
    assert sorted(claims, key=str) == [1] + [None] * 7


def test_import_that_loses_its_worker_three_times_fails_with_a_reason(
    queued: Import, artefacts: Path
) -> None:
    for _ in range(transitions.MAX_TRIES):
        assert transitions.claim_import(import_id=queued.pk)
        lose_imports()
        transitions.sweep_imports()
    queued.refresh_from_db()
    assert (queued.state, queued.error["type"]) == ("failed", "worker-lost")
    assert "stopped responding 3 times" in queued.error["detail"]
    assert list((artefacts / "imports").glob("*")) == []


def test_sweep_cancels_a_lost_import_whose_cancellation_was_requested(queued: Import) -> None:
    assert transitions.claim_import(import_id=queued.pk)
    transitions.cancel_import(id=queued.pk)
    lose_imports()
    transitions.sweep_imports()
    assert Import.objects.get().state == "cancelled"


def test_worker_that_is_stopping_does_not_start_an_import(queued: Import) -> None:
    worker_is_stopping.set()
    try:
        execute_import(import_id=UUID(str(queued.pk)))
    finally:
        worker_is_stopping.clear()
    queued.refresh_from_db()
    assert (queued.state, queued.tries) == ("queued", 0)
    assert not Prompt.objects.exists()


def test_sweep_does_not_requeue_imports_right_after_an_outage(queued: Import) -> None:
    assert transitions.claim_import(import_id=queued.pk) == 1
    now = timezone.now()
    Import.objects.update(heartbeat_at=now - timedelta(minutes=2))
    passes = {"passed_at": now - timedelta(minutes=2), "unbroken_since": now - timedelta(days=1)}
    Sweep.objects.update_or_create(name=transitions.SWEEP, defaults=passes)
    transitions.sweep_imports()
    queued.refresh_from_db()
    assert queued.state == "running"
