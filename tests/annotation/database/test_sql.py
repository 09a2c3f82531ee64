from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction
from psycopg import errors

from annotation.database.sql import DEADLOCK_ATTEMPTS, Lock, acquire, retry_deadlocks

HELD = "SELECT count(*), min(mode) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def _deadlock() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = errors.DeadlockDetected()
    return error


def test_call_is_retried_until_no_deadlock_occurs() -> None:
    left = [_deadlock() for _ in range(DEADLOCK_ATTEMPTS - 1)]

    @retry_deadlocks
    def service(value: str) -> str:
        if left:
            raise left.pop()
        return value

    assert service("done") == "done"


def test_deadlock_in_the_last_attempt_is_raised() -> None:
    calls = []

    @retry_deadlocks
    def service() -> None:
        calls.append(1)
        raise _deadlock()

    with pytest.raises(OperationalError, match="deadlock detected"):
        service()
    assert len(calls) == DEADLOCK_ATTEMPTS


def test_other_operational_errors_are_not_retried() -> None:
    calls = []

    @retry_deadlocks
    def service() -> None:
        calls.append(1)
        raise OperationalError("the server closed the connection")

    with pytest.raises(OperationalError, match="closed"):
        service()
    assert len(calls) == 1


@pytest.mark.django_db(transaction=True)
def test_lock_is_held_until_the_transaction_ends() -> None:
    with connection.cursor() as cursor:
        with transaction.atomic():
            acquire(Lock.GATE.shared("a"), Lock.DESK.of("a", "b"))
            cursor.execute(HELD)
            assert cursor.fetchone() == (2, "ExclusiveLock")
        cursor.execute(HELD)
        assert cursor.fetchone() == (0, None)
