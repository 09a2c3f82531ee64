"""Executes a queued import in a worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from annotation.content.import_jobs import transitions
from annotation.content.import_jobs.downloads import download_dataset
from annotation.content.import_jobs.uploads import upload_path
from annotation.content.import_lines import ImportedVotes
from annotation.content.import_report import ImportProgress, ImportReport
from annotation.content.imports import importing
from annotation.database.acting import acting_as, current_actor
from annotation.models import Import
from config.problems import Problem, problem_body

logger = logging.getLogger(__name__)
FAILED = "The server failed. Imported rows are kept; import the same file again to add the rest."

# Set when this worker is stopping: its import stops after the current batch and is queued again.
worker_is_stopping = threading.Event()


class Stopped(Exception):
    """Raised if the attempt must end: the import was cancelled, or another worker has claimed it."""


class Heart:
    """Sends the heartbeat and the progress in a separate thread, because a batch can take a long time.
    `stopped` is set when the attempt must end."""

    def __init__(self, import_id: UUID, attempt: int) -> None:
        self.progress = ImportProgress(0.0, 0, 0)
        self.stopped = threading.Event()
        self._ended = threading.Event()
        self._import_id, self._attempt = import_id, attempt

    @contextmanager
    def beating(self) -> Iterator[None]:
        thread = threading.Thread(target=self._beat, name="import heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _beat(self) -> None:
        try:
            while not self._ended.wait(transitions.HEARTBEAT_EVERY.total_seconds()):
                try:
                    if not transitions.beat(
                        import_id=self._import_id, attempt=self._attempt, progress=self.progress
                    ):
                        self.stopped.set()
                        return
                except DatabaseTrouble:
                    close_old_connections()
        finally:
            connection.close()


def execute_import(*, import_id: UUID) -> None:
    """Claims the import and runs it to its end. Does nothing if the import can't be claimed.

    If the database fails, the attempt ends without a result. The sweep then queues the import again.
    """
    attempt = transitions.claim_import(import_id=import_id)
    if attempt is None:
        return
    found = Import.objects.select_related("project").get(pk=import_id)
    actor = f"user:{found.created_by_id}" if found.created_by_id else current_actor()
    heart = Heart(import_id, attempt)
    with acting_as(actor), heart.beating():
        try:
            report = _imported(found, attempt, heart)
        except Stopped:
            ended = transitions.end_cancelled_import(import_id=import_id, attempt=attempt)
            if not ended and worker_is_stopping.is_set():
                transitions.requeue_import(import_id=import_id, attempt=attempt)
            return
        except Problem as problem:
            error = problem_body(
                status=problem.status, detail=problem.detail, type=problem.type, errors=problem.errors
            )
            transitions.fail_import(import_id=import_id, attempt=attempt, error=error)
            return
        except (OperationalError, InterfaceError):
            logger.exception(
                "The database failed during import %s; the sweep will queue it again.", import_id
            )
            with suppress(DatabaseTrouble):
                connection.close()
            return
        except Exception:
            logger.exception("Import %s failed.", import_id)
            error = problem_body(status=HTTPStatus.INTERNAL_SERVER_ERROR, detail=FAILED)
            transitions.fail_import(import_id=import_id, attempt=attempt, error=error)
            return
    if report.stopped:
        error = problem_body(
            status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, type="import-limit", detail=report.stopped
        )
        transitions.fail_import(import_id=import_id, attempt=attempt, error=error, report=report)
    else:
        transitions.succeed_import(import_id=import_id, attempt=attempt, report=report)


def _imported(found: Import, attempt: int, heart: Heart) -> ImportReport:
    """Runs the import and returns its report. Raises Stopped if the attempt must end."""

    def store(report: ImportReport) -> None:
        if not transitions.store_checkpoint(import_id=found.pk, attempt=attempt, report=report):
            raise Stopped

    options = {**found.options, "votes": ImportedVotes(found.options["votes"])}
    if not options.get("dry_run"):
        # The checkpoint of a dry run would be rolled back with it, so a dry run starts from the beginning.
        options["stored"] = store
        options["so_far"] = ImportReport.of_json(found.report) if found.report else None

    def check() -> None:
        if heart.stopped.is_set() or worker_is_stopping.is_set():
            raise Stopped

    if found.hub:
        download_dataset(found=found, check=check)
    steps = importing(project=found.project, file=upload_path(found.pk), **options)
    try:
        while True:
            heart.progress = next(steps)
            check()
    except StopIteration as end:
        report: ImportReport = end.value
        return report
    finally:
        steps.close()
