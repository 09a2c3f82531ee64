"""A worker of the training queue, as described in its last report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection, models
from django.db.models.functions import Now

# The time without a report after which a worker counts as stopped. A running worker reports every
# REPORT_SECONDS (training/runs/workers.py). The limit is longer, so that a worker does not count as
# stopped while the database restarts.
SILENT_AFTER = timedelta(seconds=90)
FORGOTTEN_AFTER = timedelta(days=7)
_REPORT = """
INSERT INTO training_trainingworker (name, gpus, memory_bytes, threads, seen_at)
VALUES (%s, %s::jsonb, %s, %s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET gpus = EXCLUDED.gpus, memory_bytes = EXCLUDED.memory_bytes,
    threads = EXCLUDED.threads, seen_at = EXCLUDED.seen_at
"""


class TrainingWorkerQuerySet(models.QuerySet["TrainingWorker"]):
    def running(self) -> TrainingWorkerQuerySet:
        return self.filter(seen_at__gt=Now() - SILENT_AFTER)

    def with_state(self) -> TrainingWorkerQuerySet:
        """Annotate each worker with `is_running`."""
        return self.annotate(is_running=models.Q(seen_at__gt=Now() - SILENT_AFTER))

    def forgotten(self) -> TrainingWorkerQuerySet:
        return self.filter(seen_at__lt=Now() - FORGOTTEN_AFTER)

    def report(self, *, name: str, gpus: str, memory_bytes: int, threads: int) -> None:
        """Store a worker's report. `gpus` is JSON."""
        with connection.cursor() as cursor:
            cursor.execute(_REPORT, [name, gpus, memory_bytes, threads])


class TrainingWorker(models.Model):
    """A worker and its machine. `gpus` lists the GPUs that its runs can use, as {name, memory_bytes}. The
    worker's own `memory_bytes` is the size of the main memory, or the limit of the worker's container."""

    name = models.CharField(primary_key=True, max_length=255)
    gpus: Any = models.JSONField(default=list)
    memory_bytes = models.BigIntegerField()
    threads = models.PositiveIntegerField()
    seen_at = models.DateTimeField()

    objects = TrainingWorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
