"""Wake-ups and schedules only: what they do is in services, and the database owns the runs."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from training.services import execute, supervise


@shared_task
def execute_run(run_id: str) -> None:
    supervise.execute_run(run_id=UUID(run_id))


@shared_task
def sweep_orphaned_runs() -> None:
    for run_id in execute.sweep_runs():
        execute_run.delay(str(run_id))
