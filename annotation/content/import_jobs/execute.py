"""Executes a queued import in a worker."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.db import InterfaceError, OperationalError, close_old_connections, connection

from annotation.content.import_jobs import transitions
from annotation.content.import_jobs.downloads import download_dataset
from annotation.content.import_jobs.pace import Pace
from annotation.content.import_jobs.uploads import stored_file
from annotation.content.importing.imports import importing
from annotation.content.importing.lines import ImportedVotes
from annotation.content.importing.report import ImportProgress, ImportReport
from annotation.database.acting import acting_as, current_actor
from annotation.models import Import
from config.full_disk import full_disk_problem
from config.problems import FieldProblem, Problem, problem_body

logger = logging.getLogger(__name__)
RETRY_SECONDS = (1, 2, 5, 10, 20, 30)  # in total, longer than a database restart takes

# Set when this worker is stopping: its import stops after the current batch and is queued again.
worker_is_stopping = threading.Event()


class Stopped(Exception):
    """Raised if the attempt must end: the import was cancelled, or another worker has claimed it."""


class Heart:
    """Sends the heartbeat and the progress in a separate thread, because a batch can take a long time.
    `stopped` is set when the attempt must end."""

    def __init__(self, found: Import, attempt: int) -> None:
        self.progress = ImportProgress(found.share, found.read, found.failed)
        self.stopped = threading.Event()
        self._ended = threading.Event()
        self._import_id, self._attempt = found.pk, attempt

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
    """Claims the import and runs it to completion. Does nothing if the import can't be claimed."""
    if worker_is_stopping.is_set():
        return  # the sweep will wake another worker
    attempt = transitions.claim_import(import_id=import_id)
    if attempt is None:
        return
    found = Import.objects.select_related("project").get(pk=import_id)
    actor = f"user:{found.created_by_id}" if found.created_by_id else current_actor()
    heart = Heart(found, attempt)
    with acting_as(actor), heart.beating():
        try:
            report = _imported(found, attempt, heart)
        except Stopped:
            ended = transitions.end_cancelled_import(import_id=import_id, attempt=attempt)
            if not ended and worker_is_stopping.is_set():
                transitions.requeue_import(import_id=import_id, attempt=attempt)
        except Problem as problem:
            _fail(found, attempt, problem.detail, problem.status, problem.type, problem.errors)
        except (OperationalError, InterfaceError) as error:
            logger.exception("The database failed during import %s.", import_id)
            _requeue(found, attempt, error)
        except Exception as error:
            logger.exception("Import %s failed.", import_id)
            if full := full_disk_problem(error):
                _fail(found, attempt, f"{full.detail} {_advice(found)}", full.status, full.type)
            else:
                _fail(
                    found, attempt, f"The server failed. {_advice(found)}", HTTPStatus.INTERNAL_SERVER_ERROR
                )
        else:
            _end(found, attempt, report)


def _end(found: Import, attempt: int, report: ImportReport) -> None:
    if not report.stopped:
        transitions.succeed_import(import_id=found.pk, attempt=attempt, report=report)
        return
    error = problem_body(status=HTTPStatus.UNPROCESSABLE_ENTITY, type="import-limit", detail=report.stopped)
    transitions.fail_import(import_id=found.pk, attempt=attempt, error=error, report=report)


def _fail(
    found: Import,
    attempt: int,
    detail: str,
    status: int,
    type: str = "about:blank",
    errors: Sequence[FieldProblem] = (),
) -> None:
    error = problem_body(status=status, detail=detail, type=type, errors=errors)
    transitions.fail_import(import_id=found.pk, attempt=attempt, error=error)


def _requeue(found: Import, attempt: int, cause: Exception) -> None:
    """Queues the import again as soon as the database responds. If the database doesn't respond before the
    retries end, the sweep queues the import later."""
    full = full_disk_problem(cause)
    reason = full.detail.rstrip(".") if full else str(cause).strip().split("\n", 1)[0]
    error = problem_body(
        status=full.status if full else HTTPStatus.INTERNAL_SERVER_ERROR,
        type=full.type if full else "database-failed",
        detail=f"The database failed {transitions.MAX_TRIES} times, the last time with: {reason}."
        f" {_advice(found)}",
    )
    for seconds in RETRY_SECONDS:
        try:
            connection.close()
            transitions.requeue_import(import_id=found.pk, attempt=attempt, cause=error)
        except DatabaseTrouble:
            time.sleep(seconds)
        else:
            return


def _advice(found: Import) -> str:
    return transitions.advice(dry_run=bool(found.options.get("dry_run")))


def _imported(found: Import, attempt: int, heart: Heart) -> ImportReport:
    """Runs the import and returns its report. Raises Stopped if the attempt must end."""
    began = time.monotonic()

    def check() -> None:
        if heart.stopped.is_set() or worker_is_stopping.is_set():
            raise Stopped

    def store(report: ImportReport) -> None:
        if not transitions.store_checkpoint(import_id=found.pk, attempt=attempt, report=report):
            raise Stopped

    if found.hub:
        download_dataset(found=found, attempt=attempt, check=check)
    upload = stored_file(id=found.pk, sha256=found.sha256)
    # The checkpoints of a dry run would be rolled back at its end, so an interrupted dry run starts from the
    # beginning again.
    dry_run = bool(found.options.get("dry_run"))
    options = {**found.options, "votes": ImportedVotes(found.options["votes"])}
    pace = Pace(heart.stopped)
    steps = importing(
        project=found.project,
        file=upload,
        so_far=ImportReport.of_json(found.report) if found.report and not dry_run else None,
        stored=None if dry_run else store,
        check=check,
        began=began,
        lines_per_batch=pace.lines,
        **options,
    )
    try:
        while True:
            batch_began = time.monotonic()
            heart.progress = next(steps)
            check()
            pace.after_batch(time.monotonic() - batch_began)
    except StopIteration as end:
        report: ImportReport = end.value
        return report
    finally:
        steps.close()
