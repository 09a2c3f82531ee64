from __future__ import annotations

from celery import shared_task

from annotation.services import agreement, allocation


@shared_task  # type: ignore[untyped-decorator]
def expire_leases() -> None:
    allocation.expire_leases()


@shared_task  # type: ignore[untyped-decorator]
def refresh_agreement() -> None:
    agreement.refresh_agreement()
