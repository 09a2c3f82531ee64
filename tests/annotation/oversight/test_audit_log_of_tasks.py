"""The audit log names the Celery task that made a change."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from annotation import tasks
from annotation.database.acting import current_actor
from training import tasks as training_tasks


@pytest.mark.parametrize(
    ("task", "module", "work"),
    [
        (tasks.expire_leases, tasks.allocation, "expire_leases"),
        (training_tasks.turn_loops, training_tasks.turning, "turn_loops"),
    ],
)
def test_celery_task_is_the_actor_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, task: Any, module: Any, work: str
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(module, work, lambda: seen.append(current_actor()))
    task.apply()
    assert seen == [f"task:{task.name}"]
    assert current_actor() == ""


def test_worker_connects_the_signal_receivers() -> None:
    code = """
from celery.signals import task_prerun
from config.celery import app
app.loader.import_default_modules()
print([receiver().__name__ for _, receiver in task_prerun.receivers])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True
    )
    assert "_name_task_as_actor" in done.stdout
