"""Wake a worker. The message only says that a run can be claimed, so a lost or duplicate message is
harmless."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from config.celery import app

# The task is sent by name, because tasks import services and not the reverse.
EXECUTE_RUN = "training.tasks.execute_run"


def wake_worker(*, run_id: UUID) -> None:
    """Send the message after the commit, because before the commit a worker would not find the run.

    `robust=True`, because the run is queued even if the broker is down; the sweep then wakes a worker later.
    """
    transaction.on_commit(partial(app.send_task, EXECUTE_RUN, args=[str(run_id)], retry=False), robust=True)
