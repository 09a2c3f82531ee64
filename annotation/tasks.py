from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import task_postrun, task_prerun

from annotation.database.acting import act_as
from annotation.desk import allocation
from annotation.oversight import agreement
from annotation.webhooks import delivery


@task_prerun.connect  # type: ignore[untyped-decorator]
def _name_task_as_actor(task: Any, **_: Any) -> None:
    """Names each Celery task, of any app, in the audit log as the actor of the task's changes."""
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
