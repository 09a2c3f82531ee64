from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import celeryd_after_setup, task_postrun, task_prerun, worker_shutting_down

from annotation.content.import_jobs import execute, transitions, uploads
from annotation.database.acting import act_as
from annotation.desk import allocation
from annotation.oversight import agreement
from annotation.webhooks import delivery
from config import priority

IMPORTS_QUEUE = "imports"


@task_prerun.connect  # type: ignore[untyped-decorator]
def _name_task_as_actor(task: Any, **_: Any) -> None:
    """Makes a Celery task of any app the actor of its changes in the audit log."""
    act_as(f"task:{task.name}")


@task_postrun.connect  # type: ignore[untyped-decorator]
def _forget_actor(**_: Any) -> None:
    act_as("")


@shared_task  # type: ignore[untyped-decorator]
def expire_leases() -> None:
    allocation.expire_leases()


@shared_task  # type: ignore[untyped-decorator]
def refresh_agreement() -> None:
    agreement.refresh_agreement()


@shared_task  # type: ignore[untyped-decorator]
def deliver_webhooks() -> None:
    delivery.deliver_due()


@shared_task  # type: ignore[untyped-decorator]
def forget_webhook_deliveries() -> None:
    delivery.forget_old()


@shared_task  # type: ignore[untyped-decorator]
def execute_import(import_id: str) -> None:
    execute.execute_import(import_id=UUID(import_id))


@shared_task  # type: ignore[untyped-decorator]
def sweep_imports() -> None:
    transitions.sweep_imports()
    uploads.remove_orphaned_uploads()


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _stop_imports(**_: Any) -> None:
    execute.worker_is_stopping.set()


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _yield_to_annotators(instance: Any, **_: Any) -> None:
    """Gives a worker that only executes imports the lowest priority, so that annotators on the same machine
    need not wait for the worker."""
    if set(instance.app.amqp.queues.consume_from) == {IMPORTS_QUEUE}:
        priority.yield_to_annotators(priority.IMPORTS_NICE)
