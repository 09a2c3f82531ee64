"""Named transaction locks, and retries after a deadlock.

A named lock is a Postgres advisory lock, so it can protect a rule about rows that don't exist yet. It is held
until the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from psycopg import errors

from annotation.database.acting import SET_ACTOR, safe_actor
from annotation.database.prepared import prepared_cursor

DEADLOCK_ATTEMPTS = 5

P = ParamSpec("P")
Out = TypeVar("Out")


class Request(NamedTuple):
    """A lock to acquire. Shared holders wait only for an exclusive holder, not for each other."""

    key: str
    shared: bool = False


class Lock(StrEnum):
    """All named locks. Transactions that need several locks acquire them in this order, so that they don't
    deadlock."""

    GATE = "gate"
    """Per project. Claims take the lock in shared mode. A change of the project's state takes the lock in
    exclusive mode. The change therefore sees every lease granted under the old state."""
    DESK = "desk"
    """Per project and annotator. Claims from an annotator's tabs run one at a time. While a claim is in
    progress, the annotator's caps, membership and qualification don't change."""
    EXCLUSION = "exclusion"
    """Per project and annotator (an account or a name from an imported file). Exclusions and reinstatements
    of the same annotator run one at a time. The trigger `refuse_excluded` takes the lock in shared mode. A
    claim that started before an exclusion therefore can't create a lease after the exclusion."""
    CONTENT = "content"
    """Per project. Without the lock, two imports of the same content could deadlock on each other's unique
    keys. Also, a new form must not be saved while tasks that don't fit the form are being added."""
    SNAPSHOTS = "snapshots"
    """Per project. Snapshots are frozen one at a time. If a process finds an unfinished folder while it holds
    the lock, the folder was left by a process that was killed."""
    AGREEMENT = "agreement"
    """One lock for the whole database. A second reader of the review queue waits until the first has computed
    the agreement. Without the lock, the second reader would skip the rows that the first has locked and find
    nothing. Waiting for the rows themselves could deadlock with a writer."""

    REPORT = "report"
    """Per report. Requests for the same report wait for the request that computes the report."""

    def of(self, *ids: object) -> Request:
        return Request(":".join([self.value, *map(str, ids)]))

    def shared(self, *ids: object) -> Request:
        return Request(self.of(*ids).key, shared=True)


def acquire(*requests: Request) -> None:
    """Acquires all locks, in the order given, in one statement. Must be called inside a transaction.

    The snapshot of this statement is older than the locks. Data that the locks protect must therefore be read
    by a later statement.
    """
    # This statement is prepared, because every claim runs it. It also sets the actor for the prepared
    # statements that follow.
    with prepared_cursor() as cursor:
        acquire_with(cursor, *requests)


def acquire_with(cursor: CursorWrapper, *requests: Request) -> None:
    """Like :func:`acquire`, but uses an open prepared cursor. A claim uses one cursor for its locks and its
    reads."""
    calls = [
        f"pg_advisory_xact_lock{'_shared' if request.shared else ''}(hashtextextended(%s, 0))"
        for request in requests
    ]
    cursor.execute(
        f"SELECT {', '.join([*calls, SET_ACTOR])}",
        [*(request.key for request in requests), safe_actor()],
    )


def retry_deadlocks(service: Callable[P, Out]) -> Callable[P, Out]:
    """Retries a service that owns its transaction if Postgres aborts the transaction to resolve a deadlock.

    Use this decorator for services that lock many rows if other transactions lock the same rows in a
    different order. Raises the last OperationalError after DEADLOCK_ATTEMPTS attempts.
    """

    @wraps(service)
    def attempt(*args: P.args, **kwargs: P.kwargs) -> Out:
        for number in range(1, DEADLOCK_ATTEMPTS + 1):
            try:
                return service(*args, **kwargs)
            except OperationalError as error:
                if not isinstance(error.__cause__, errors.DeadlockDetected) or number == DEADLOCK_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    return attempt
