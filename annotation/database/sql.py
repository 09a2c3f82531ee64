"""Named transaction locks, and retries after a deadlock.

A named lock (a Postgres advisory lock) protects a rule that spans rows which may not exist yet. Each lock is
held until the transaction ends.
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
    """All named locks. A transaction that needs several locks acquires them in this order, so that no two
    transactions wait for each other."""

    GATE = "gate"
    """Per project. Claims share the lock. A change of the project's state holds the lock exclusively, so that
    the change sees every lease granted under the old state."""
    DESK = "desk"
    """Per project and annotator. An annotator's tabs claim one after the other, and nothing that decides a
    claim (caps, membership, qualification) changes while the claim is in progress."""
    EXCLUSION = "exclusion"
    """Per project and annotator (an account or a name from an imported file). Exclusions and reinstatements
    of the same annotator run one after the other. The trigger `refuse_excluded` shares the lock, so a claim
    that started before an exclusion can't end with a lease after it."""
    CONTENT = "content"
    """Per project. Two imports of the same content would deadlock on each other's unique keys, and a new form
    must not be saved while tasks that don't fit it are being added."""
    SNAPSHOTS = "snapshots"
    """Per project. Snapshots are frozen one after the other, so an unfinished folder found under the lock was
    left by a process that was killed."""
    AGREEMENT = "agreement"
    """One lock for the whole database. A second reader waits until the first has computed the agreement,
    instead of skipping the rows that the first has locked and finding nothing. Waiting for the rows
    themselves could deadlock with a writer."""

    def of(self, *ids: object) -> Request:
        return Request(":".join([self.value, *map(str, ids)]))

    def shared(self, *ids: object) -> Request:
        return Request(self.of(*ids).key, shared=True)


def acquire(*requests: Request) -> None:
    """Waits for all locks, in the order given, in one statement. Must be called inside a transaction.

    Data on which a decision under the lock depends must be read in a later statement, with a newer snapshot.
    """
    # This statement is prepared, because every claim runs it. The statement also sets the actor for the
    # prepared statements that follow.
    with prepared_cursor() as cursor:
        acquire_with(cursor, *requests)


def acquire_with(cursor: CursorWrapper, *requests: Request) -> None:
    """Like :func:`acquire`, but with an open prepared cursor, which a claim then uses for its reads."""
    calls = [
        f"pg_advisory_xact_lock{'_shared' if request.shared else ''}(hashtextextended(%s, 0))"
        for request in requests
    ]
    cursor.execute(
        f"SELECT {', '.join([*calls, SET_ACTOR])}",
        [*(request.key for request in requests), safe_actor()],
    )


def retry_deadlocks(service: Callable[P, Out]) -> Callable[P, Out]:
    """Retries a service that owns its transaction after Postgres aborted the transaction to resolve a
    deadlock.

    For services that lock many rows that other transactions lock in a different order. Raises the last
    OperationalError after DEADLOCK_ATTEMPTS.
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
