"""Processors and priorities, chosen so that annotators' requests do not wait for imports, reports and
exports.

On a machine with two processors, a nice value of 19 was not enough: an import still doubled the 95th
percentile of the time that a claim takes, because the kernel made claims wait for the processor on which the
import was running. If the import leaves the first processor free, a claim finds a free processor immediately,
and the import stores only 7 % fewer rows per second (docs/measurements.md).

For the same reason, all processes of the embedded Postgres are initially kept off the first processor. The
web process then lets the Postgres processes of its own connections use all processors. Restricting only the
Postgres processes of reports would not be enough: opening a report's connection takes 4 ms of processor time,
and the report can restrict its Postgres process only after that.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db.backends.signals import connection_created

from embedded.processes import leave_first_processor

IMPORTS_NICE = 19
REPORTS_NICE = 10

# A process that wakes up waits until the running process has used up its slice of about 3 ms, even if the
# running process has a lower priority. A claim wakes several processes. With the shortest slice that the
# kernel accepts, the 95th percentile of claim times during reports and an import fell from 11.2 to 10.1 ms,
# and that of submit times from 22.2 to 18.1 ms.
SLICE_NANOSECONDS = 100_000
SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}


def serve_annotators() -> None:
    """On the embedded stack, lets the Postgres processes of this process's connections use all processors."""
    if settings.ENVIRONMENT == "embedded":
        connection_created.connect(_raise_database_process, dispatch_uid="serve_annotators")


def yield_to_annotators(nice: int) -> None:
    """Raises the nice value of this process to at least `nice` and keeps the process off the first processor.
    On the embedded stack, the same applies to the Postgres processes of its connections, because they do half
    of the work.

    Call this function once, before the process starts threads or opens connections.
    """
    os.setpriority(os.PRIO_PROCESS, 0, max(nice, os.getpriority(os.PRIO_PROCESS, 0)))
    _shorten_slice(os.getpid())
    leave_first_processor(0)
    if settings.ENVIRONMENT == "embedded":
        connection_created.connect(_lower_database_process, dispatch_uid="yield_to_annotators")


def _lower_database_process(connection: Any, **_: Any) -> None:
    if (process := _database_process(connection)) is not None:
        with suppress(OSError):  # Postgres can run under another account
            os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, 0))
            _shorten_slice(process)
            os.sched_setaffinity(process, os.sched_getaffinity(0))


def _raise_database_process(connection: Any, **_: Any) -> None:
    if (process := _database_process(connection)) is not None:
        with suppress(OSError):
            os.sched_setaffinity(process, os.sched_getaffinity(0))


def _database_process(connection: Any) -> int | None:
    """The process ID of the connection's Postgres process; None if the server can be on another machine."""
    if not connection.settings_dict["HOST"].startswith("/"):
        return None
    return int(connection.connection.info.backend_pid)


def _shorten_slice(process: int) -> None:
    """Shortens the process's time slice to a tenth of a millisecond, after which a waking process can run
    instead. Linux before 6.12 ignores the length of the slice. The structure is `sched_attr` (man 2
    sched_setattr)."""
    if (number := SCHED_SETATTR.get(platform.machine())) is None:
        return
    nice = os.getpriority(os.PRIO_PROCESS, process)
    attributes = struct.pack("=IIQiIQQQII", 56, os.SCHED_OTHER, 0, nice, 0, SLICE_NANOSECONDS, 0, 0, 0, 0)
    # An error, for example in a container that forbids the call, leaves the slice as it is.
    ctypes.CDLL(None).syscall(number, process, attributes, 0)
