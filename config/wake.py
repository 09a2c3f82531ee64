"""Messages that wake a Celery worker. A message only says that there is work in the database, so a lost or
duplicate message is harmless."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from config.celery import app


def send_on_commit(task: str, *args: str) -> None:
    """Sends the message after the transaction commits, because workers can't see the work before the commit.

    With `robust=True`, a broker that is down causes no error here. In this case, the work stays queued, and a
    sweep wakes a worker later.
    """
    transaction.on_commit(partial(app.send_task, task, args=list(args), retry=False), robust=True)
