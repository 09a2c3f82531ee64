"""Waking a worker. A message says only "there is something to claim"; losing one or sending it twice is
harmless."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from config.celery import app

EXECUTE_RUN = "training.tasks.execute_run"  # by name: the tasks import the services, not the other way round


def wake_worker(*, run_id: UUID) -> None:
    """After the commit: before it, a worker would find nothing to claim.

    Robust, because the run is queued even if the broker is down: the sweep wakes a worker later.
    """
    transaction.on_commit(partial(app.send_task, EXECUTE_RUN, args=[str(run_id)], retry=False), robust=True)
