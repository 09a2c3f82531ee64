"""Messages that wake a Celery worker. A message only signals that there is work in the database, so a lost or
duplicate message is harmless."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.db import transaction
from kombu.exceptions import OperationalError

from config.celery import app

logger = logging.getLogger(__name__)
# After a failure, no message is sent for this long. Otherwise, every request that launches something would
# wait for the broker's time limit. A sweep wakes a worker later.
PAUSE_SECONDS = 15.0
# The phase that a run or an import shows while the broker is not responding.
NOT_WOKEN = "waiting for the message queue, which is not responding"

_paused_until = 0.0


def connection_for_one_try(**limits: float) -> Any:
    """A connection to the broker for one message or one query. If the broker is down, the connection fails
    immediately; with Celery's defaults, the attempt would take six seconds, even with `retry=False`."""
    options = app.conf.broker_transport_options | {"max_retries": 0} | limits
    return app.connection_for_write(transport_options=options)


def send_on_commit(task: str, *args: str, failed: Callable[[], None] | None = None) -> None:
    """Sends the message after the transaction commits, because workers can't see the work before the commit.

    If the broker is down or hung, `failed` is called. The work stays queued, and a sweep wakes a worker
    later.
    """

    def send() -> None:
        if not _sent(task, args) and failed is not None:
            failed()

    # `robust`: the change is already committed, so an error in `failed` must not reach the caller.
    transaction.on_commit(send, robust=True)


def _sent(task: str, args: tuple[str, ...]) -> bool:
    global _paused_until
    if time.monotonic() < _paused_until:
        return False
    try:
        with connection_for_one_try() as connection:
            app.send_task(task, args=list(args), retry=False, connection=connection)
    except (OperationalError, OSError) as error:
        _paused_until = time.monotonic() + PAUSE_SECONDS
        logger.error("The message queue is not responding, so no worker was woken for %s: %s", task, error)
        return False
    return True
