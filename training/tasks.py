"""Celery tasks, which only call services. The database is the source of truth for runs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down

from training.loop import turning
from training.runs import folders, interruptions, workers
from training.runs.process import supervise
from training.runs.wake import wake_worker


@shared_task  # type: ignore[untyped-decorator]
def execute_run(run_id: str) -> None:
    supervise.execute_run(run_id=UUID(run_id))


@shared_task  # type: ignore[untyped-decorator]
def sweep_orphaned_runs() -> None:
    for run_id in interruptions.sweep_runs():
        wake_worker(run_id=run_id)
    folders.remove_expired()


@shared_task  # type: ignore[untyped-decorator]
def turn_loops() -> None:
    turning.turn_loops()


@worker_ready.connect  # type: ignore[untyped-decorator]
def report_worker(sender: Any, **signal: Any) -> None:
    if workers.QUEUE in sender.app.amqp.queues.consume_from:
        workers.keep_reporting(name=sender.hostname, stopping=supervise.worker_is_stopping)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop_runs(**signal: Any) -> None:
    supervise.worker_is_stopping.set()
