"""The queue. A message only wakes someone up; the database owns the work (config/settings.py, CELERY_*)."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("rankloop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task: Any, **_: Any) -> None:
    """What a task writes is the task's doing, in the audit log."""
    from annotation.database.acting import act_as

    act_as(f"task:{task.name}")


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end(**_: Any) -> None:
    from annotation.database.acting import act_as

    act_as("")
