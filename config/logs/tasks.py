"""Configures Celery's logs: Rankloop's log format, the sender's request ID, and one line per task."""

from __future__ import annotations

import inspect
import logging
import logging.config
import time
from typing import Any
from uuid import UUID

from celery.signals import before_task_publish, setup_logging, task_postrun, task_prerun

from config.logs.context import current_request_id, enter, leave, request_id_of

logger = logging.getLogger("rankloop.tasks")
_HEADER = "rankloop_request_id"
# Periodic tasks run often and rarely have anything to do. Runs of these tasks that take less than
# _SLOW_SECONDS are logged at DEBUG.
_SLOW_SECONDS = 5.0


def connect() -> None:
    setup_logging.connect(_use_own_configuration)
    before_task_publish.connect(_send_request_id)
    task_prerun.connect(_enter)
    task_postrun.connect(_leave)


def _use_own_configuration(**_: Any) -> None:
    """Configures the loggers. Because this signal has a receiver, Celery itself configures no loggers and
    doesn't replace stdout."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


def _send_request_id(headers: dict[str, Any], **_: Any) -> None:
    if request_id := current_request_id():
        headers.setdefault(_HEADER, request_id)


def _enter(task: Any, task_id: str, args: Any, kwargs: Any, **_: Any) -> None:
    sent = str(task.request.get(_HEADER) or "")
    fields = {"request_id": request_id_of(sent)} if sent else {}
    fields |= {"task": task.name, "task_id": task_id, **_ids(task, args, kwargs)}
    task.request.update(rankloop_log=(enter(**fields), time.perf_counter()))


def _leave(task: Any, state: str | None = None, **_: Any) -> None:
    from django.conf import settings

    entered = task.request.get("rankloop_log")
    if entered is None:
        return
    token, began = entered
    seconds = time.perf_counter() - began
    periodic = any(each["task"] == task.name for each in settings.CELERY_BEAT_SCHEDULE.values())
    level = logging.DEBUG if periodic and seconds < _SLOW_SECONDS else logging.INFO
    fields = {"duration_ms": round(seconds * 1000, 1), "state": state}
    logger.log(level, "%s: %s", task.name, state, extra={"fields": fields})
    leave(token)


def _ids(task: Any, args: Any, kwargs: Any) -> dict[str, str]:
    """The task's arguments that are IDs, such as `run_id`."""
    try:
        given = inspect.signature(task.run).bind(*args, **kwargs).arguments
    except TypeError:  # wrong arguments; the task itself will fail
        return {}
    return {name: value for name, value in given.items() if name.endswith("_id") and _is_id(value)}


def _is_id(value: Any) -> bool:
    try:
        return bool(str(UUID(value)) == value)
    except (TypeError, ValueError, AttributeError):
        return False
