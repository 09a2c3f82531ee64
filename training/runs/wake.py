"""Wake a worker. The message only says that a run can be claimed, so a lost or duplicate message is
harmless."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from config.celery import app

# The task is sent by name, because services must not import Celery tasks.
EXECUTE_RUN = "training.tasks.execute_run"


def wake_worker(*, run_id: UUID) -> None:
    """Send the message after the transaction commits, because a worker can't find the run earlier.

    With `robust=True`, a broker that is down causes no error here. In this case, the run stays queued, and
    the sweep wakes a worker later.
    """
    transaction.on_commit(partial(app.send_task, EXECUTE_RUN, args=[str(run_id)], retry=False), robust=True)
