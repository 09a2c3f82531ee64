"""Wakes a training worker."""

from __future__ import annotations

from uuid import UUID

from config.wake import send_on_commit

# The task is sent by name, because services must not import Celery tasks.
EXECUTE_RUN = "training.tasks.execute_run"


def wake_worker(*, run_id: UUID) -> None:
    send_on_commit(EXECUTE_RUN, str(run_id))
