"""The priority of work that annotators must not wait for: imports, reports and exports.

On a machine with two processors, a nice value of 19 was not enough: an import still doubled the 95th
percentile of claims, because the kernel let claims wait for the processor on which the import was running. If
the import leaves the first processor free, a claim finds a free processor at once, and the import stores only
7 % fewer rows per second (docs/measurements.md).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

IMPORTS_NICE = 19
REPORTS_NICE = 10


def yield_to_annotators(nice: int) -> None:
    """Gives this process the niceness and restricts it to all processors but the first. On the embedded
    stack, the same applies to the Postgres processes of its connections, because they do half of the work.

    Call this function once, before the process starts threads or opens connections.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    _, *others = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(0, others)
    if settings.ENVIRONMENT == "embedded":
        connection_created.connect(_lower_database_process, dispatch_uid="yield_to_annotators")


def _lower_database_process(connection: Any, **_: Any) -> None:
    if not connection.settings_dict["HOST"].startswith("/"):
        return  # the server can be on another machine
    process = connection.connection.info.backend_pid
    with suppress(OSError):  # Postgres can run as another account
        os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, 0))
        os.sched_setaffinity(process, os.sched_getaffinity(0))
