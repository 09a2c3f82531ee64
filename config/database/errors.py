"""Responds with 503, the reason and the remedy to database errors that are not Rankloop's fault."""

from __future__ import annotations

from http import HTTPStatus

import psycopg
from django.db import Error as DatabaseError
from psycopg import errors
from psycopg_pool import PoolTimeout

from config.problems import Problem

RETRY_AFTER_SECONDS = 5


class TryAgain(Problem):
    """The database can't respond at the moment. The same request can succeed later."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    wait = RETRY_AFTER_SECONDS


def problem_of(error: BaseException | None) -> Problem | None:
    """The response to a database error; None for errors that are Rankloop's fault."""
    if not isinstance(error, DatabaseError | psycopg.Error):
        return None
    # Django wraps the driver's errors, except those of COPY.
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(cause, errors.LockNotAvailable):
        return TryAgain(
            "Another change to the same data is still in progress. Nothing was changed; try again.",
            type="busy",
        )
    if isinstance(cause, errors.QueryCanceled):
        return TryAgain(
            "The database stopped the request because it took too long. Nothing was changed; try again, or"
            " request less data.",
            type="too-slow",
        )
    if isinstance(cause, PoolTimeout):
        return TryAgain("All connections to the database are in use. Try again.", type="busy")
    ours = errors.DiskFull | errors.DeadlockDetected | errors.SerializationFailure
    if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(cause, ours):
        return TryAgain("The database is not responding. Try again.", type="database-unavailable")
    return None
