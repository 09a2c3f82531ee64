"""Database work that survives a restart or an outage of the database."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

# These errors are raised if a connection is lost or refused. OperationalError is also raised for an exhausted
# connection pool, a deadlock or a timeout. A retry is also correct in these cases.
OUTAGE_ERRORS = (OperationalError, InterfaceError)
# How long work waits for the database: longer than a restart, a failover or an upgrade takes.
OUTAGE_LIMIT = timedelta(minutes=30)
# The last pause is repeated. A run that is being completed sends no heartbeat, so this pause is much shorter
# than the time after which a run without a heartbeat counts as lost.
PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)

Result = TypeVar("Result")


def through_outages(work: Callable[[], Result], *, limit: timedelta = OUTAGE_LIMIT) -> Result:
    """Calls `work` on a new connection and returns its result. If the connection fails, the call is repeated
    until the database responds or `limit` has passed.

    The connection is closed before and after the call. A process that works for hours between two calls
    therefore never uses a connection that a restart of the database has closed.

    `work` must tolerate being repeated: if the connection fails during a commit, the caller can't know
    whether the commit took effect. Inside a transaction, the call can't be repeated, so `work` is called
    once.
    """
    if connection.in_atomic_block:
        return work()
    began, failures = time.monotonic(), 0
    for pause in itertools.chain(PAUSES_SECONDS, itertools.repeat(PAUSES_SECONDS[-1])):
        connection.close()
        try:
            result = work()
        except OUTAGE_ERRORS as error:
            if time.monotonic() - began + pause > limit.total_seconds():
                raise
            failures += 1
            if failures == 1:
                logger.warning("The database failed; trying again: %s", str(error).strip())
        else:
            if failures:
                logger.warning("The database is responding again after %.0f s.", time.monotonic() - began)
            return result
        finally:
            connection.close()
        time.sleep(pause)
    raise AssertionError("unreachable")
