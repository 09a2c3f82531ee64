from __future__ import annotations

from celery import shared_task

from annotation.desk import allocation
from annotation.oversight import agreement
from annotation.webhooks import delivery


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
