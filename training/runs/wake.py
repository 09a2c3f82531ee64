"""Wake a training worker."""

from __future__ import annotations

from uuid import UUID

from config.wake import NOT_WOKEN, send_on_commit
from training.models import TrainingRun

# The task is sent by name, because services must not import Celery tasks.
EXECUTE_RUN = "training.tasks.execute_run"


def wake_worker(*, run_id: UUID) -> None:
    """Wake a worker after the commit. If the broker is not responding, the run's phase reports the problem
    until a worker claims the run, and the next sweep tries again."""

    queued = TrainingRun.objects.filter(pk=run_id, state=TrainingRun.State.QUEUED)
    queued.filter(phase=NOT_WOKEN).update(phase="")

    def say() -> None:
        queued.update(phase=NOT_WOKEN, woken_at=None)

    send_on_commit(EXECUTE_RUN, str(run_id), failed=say)
