"""The state changes of an import, as compare-and-set statements.

Failures and how they are handled:

* The worker dies. The heartbeat stops. After STALE_AFTER, the sweep queues the import again, and another
  worker continues after the last stored batch. If MAX_TRIES attempts in a row are lost in this way, the
  import fails.
* The message that wakes a worker is lost. The import stays queued, and the sweep wakes a worker again.
* The broker is not responding. The import stays queued, its phase reports the problem, and the next sweep
  tries again.
* The database fails, for example because it restarts or its disk is full. The worker tries repeatedly to
  queue the import again and to store the reason.

Each stored batch resets the number of tries, so only consecutive failures without progress count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from annotation.content.import_jobs.uploads import remove_upload
from annotation.content.importing.report import ImportProgress, ImportReport
from annotation.models import Import, Sweep
from config.problems import Conflict, problem_body
from config.wake import NOT_WOKEN, send_on_commit

HEARTBEAT_EVERY = timedelta(seconds=2)
# Much longer than HEARTBEAT_EVERY, because an import can miss some heartbeats on a busy machine or during a
# long transaction.
STALE_AFTER = timedelta(seconds=60)
REWAKE_AFTER = timedelta(seconds=120)
MAX_TRIES = 3
SWEEP = "imports"
# The task is sent by name, because services must not import Celery tasks.
EXECUTE_IMPORT = "annotation.tasks.execute_import"


def wake_import_worker(*, import_id: UUID) -> None:
    """Wakes a worker after the commit. If the broker is not responding, the import's phase reports the
    problem until a worker claims the import, and the next sweep tries again."""
    queued = Import.objects.filter(pk=import_id, state=Import.State.QUEUED)
    queued.filter(phase=NOT_WOKEN).update(phase="")

    def say() -> None:
        queued.update(phase=NOT_WOKEN, woken_at=None)

    send_on_commit(EXECUTE_IMPORT, str(import_id), failed=say)


def claim_import(*, import_id: UUID) -> int | None:
    """Claims the import and returns the number of the new attempt. Returns None if the import can't be
    claimed, for example because another worker has claimed it."""
    found = Import.objects.filter(pk=import_id).first()
    if found is None:
        return None
    now = timezone.now()
    claimed = Import.objects.filter(
        state=Import.State.QUEUED,
        pk=import_id,
        attempt=found.attempt,
        tries__lt=MAX_TRIES,
        cancel_requested_at=None,
    ).update(
        state=Import.State.RUNNING,
        phase="",
        attempt=found.attempt + 1,
        tries=F("tries") + 1,
        heartbeat_at=now,
        started_at=now,
    )
    return found.attempt + 1 if claimed else None


def beat(*, import_id: UUID, attempt: int, progress: ImportProgress) -> bool:
    """Stores the heartbeat and the progress. Returns False if the attempt must end, because the import was
    cancelled or has been claimed again."""
    this = _this_attempt(import_id, attempt)
    this.update(heartbeat_at=timezone.now(), share=progress.share, read=progress.read, failed=progress.failed)
    return this.filter(cancel_requested_at=None).exists()


def store_checkpoint(*, import_id: UUID, attempt: int, report: ImportReport) -> bool:
    """Stores the report on the batches so far, in the transaction of the newest batch. Returns False if the
    attempt is no longer the current one; the caller must then roll the batch back."""
    return bool(
        _this_attempt(import_id, attempt).update(
            report=report.to_json(),
            read=report.read,
            failed=report.failed,
            heartbeat_at=timezone.now(),
            tries=1,
        )
    )


def store_download(*, import_id: UUID, attempt: int, size: int, sha256: str) -> bool:
    """Stores the size and the SHA-256 of the downloaded file. Returns False if the attempt is no longer the
    current one."""
    return bool(_this_attempt(import_id, attempt).update(size=size, sha256=sha256))


def succeed_import(*, import_id: UUID, attempt: int, report: ImportReport) -> bool:
    """running → succeeded. Returns False if the attempt is no longer the current one."""
    return _end(
        import_id,
        attempt,
        state=Import.State.SUCCEEDED,
        report=report.to_json(),
        share=1.0,
        read=report.read,
        failed=report.failed,
    )


def fail_import(
    *, import_id: UUID, attempt: int, error: Mapping[str, Any], report: ImportReport | None = None
) -> bool:
    """running → failed, with the reason and, if given, the report on the stored batches."""
    told = {} if report is None else {"report": report.to_json()}
    return _end(import_id, attempt, state=Import.State.FAILED, error=error, **told)


def end_cancelled_import(*, import_id: UUID, attempt: int) -> bool:
    """running → cancelled, if a user has requested the cancellation. Returns whether the state changed."""
    asked = _this_attempt(import_id, attempt).exclude(cancel_requested_at=None)
    changed = asked.update(state=Import.State.CANCELLED, finished_at=timezone.now())
    return _with_upload_removed(changed, import_id)


def requeue_import(*, import_id: UUID, attempt: int, cause: Mapping[str, Any] | None = None) -> bool:
    """running → queued. If no `cause` is given, the worker is stopping, and this try is not counted.
    Otherwise, the import fails if it has been tried MAX_TRIES times."""
    this = _this_attempt(import_id, attempt).filter(cancel_requested_at=None)
    if cause is None:
        return bool(this.update(state=Import.State.QUEUED, tries=F("tries") - 1, woken_at=None))
    if this.filter(tries__lt=MAX_TRIES).update(state=Import.State.QUEUED, woken_at=None):
        return True
    return _end(import_id, attempt, state=Import.State.FAILED, error=cause)


def cancel_import(*, id: UUID) -> Import:
    """Cancels a queued import immediately, or asks a running import to stop after its current batch. The
    stored batches are kept.

    Idempotent. Raises Conflict if the import has already succeeded or failed.
    """
    now = timezone.now()
    queued = When(state=Import.State.QUEUED, then=Value(Import.State.CANCELLED))
    Import.objects.unfinished().filter(pk=id).update(
        state=Case(queued, default=F("state")),
        phase="",
        finished_at=Case(When(state=Import.State.QUEUED, then=Value(now))),
        cancel_requested_at=Case(
            When(state=Import.State.RUNNING, then=Coalesce("cancel_requested_at", Value(now)))
        ),
    )
    found = Import.objects.with_names().get(pk=id)
    if found.is_final and found.state != Import.State.CANCELLED:
        raise Conflict(f"The import has already {found.state}; it can't be cancelled.")
    _with_upload_removed(found.is_final, id)
    return found


@transaction.atomic
def sweep_imports() -> None:
    """Requeues the running imports whose heartbeat has stopped, or ends them if they were cancelled or have
    used all tries. Also wakes a worker for each queued import for which none was woken recently."""
    now = timezone.now()
    since = Sweep.objects.note_pass(SWEEP)
    stale = Import.objects.filter(state=Import.State.RUNNING, heartbeat_at__lt=now - STALE_AFTER)
    if since > now - STALE_AFTER:
        # Right after a database outage, all heartbeats are old, so no import counts as lost yet.
        stale = stale.none()
    for id in _ids(stale.exclude(cancel_requested_at=None)):
        cancelled = stale.filter(pk=id).update(state=Import.State.CANCELLED, finished_at=now)
        _with_upload_removed(cancelled, id)
    for id, options in list(stale.filter(tries__gte=MAX_TRIES).values_list("pk", "options")):
        lost = _lost(dry_run=bool(options.get("dry_run")))
        failed = stale.filter(pk=id).update(state=Import.State.FAILED, finished_at=now, error=lost)
        _with_upload_removed(failed, id)
    stale.filter(cancel_requested_at=None, tries__lt=MAX_TRIES).update(
        state=Import.State.QUEUED, woken_at=None
    )
    unheard = Import.objects.filter(
        Q(woken_at=None) | Q(woken_at__lt=now - REWAKE_AFTER), state=Import.State.QUEUED
    )
    for id in _ids(unheard):
        if unheard.filter(pk=id).update(woken_at=now):
            wake_import_worker(import_id=id)


def advice(*, dry_run: bool) -> str:
    """Advice on what to do after a failure that the file did not cause."""
    if dry_run:
        return "Nothing was imported. Run the check again."
    return "The imported rows are kept. Import the same file again to add the rest."


def _lost(*, dry_run: bool) -> dict[str, Any]:
    return problem_body(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        type="worker-lost",
        detail=f"The import worker stopped responding {MAX_TRIES} times. Each time, it sent no heartbeat for"
        f" {STALE_AFTER.total_seconds():.0f} s. {advice(dry_run=dry_run)}",
    )


def _this_attempt(import_id: UUID, attempt: int) -> QuerySet[Import]:
    return Import.objects.filter(pk=import_id, attempt=attempt, state=Import.State.RUNNING)


def _ids(imports: QuerySet[Import]) -> list[UUID]:
    return list(imports.values_list("pk", flat=True))


def _end(import_id: UUID, attempt: int, **changes: Any) -> bool:
    changed = _this_attempt(import_id, attempt).update(finished_at=timezone.now(), **changes)
    return _with_upload_removed(changed, import_id)


def _with_upload_removed(ended: int | bool, import_id: UUID) -> bool:
    """Removes the upload after the commit if the import has ended."""
    if ended:
        transaction.on_commit(lambda: remove_upload(import_id), robust=True)
    return bool(ended)
