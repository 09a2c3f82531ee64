"""The database cache, which stores the counts of login attempts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache.backends import db
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.db import DatabaseError, IntegrityError, connections, router


class DatabaseCache(db.DatabaseCache):
    """Django's database cache, except that a failed write raises the database's error.

    Django's own cache ignores write errors. On a full disk, password guesses would then not be counted, or a
    login would be refused with the wrong reason (too many guesses).
    """

    def _base_set(self, mode: str, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT) -> bool:
        failures: list[DatabaseError] = []

        def watch(execute: Callable[..., Any], *query: Any) -> Any:
            try:
                return execute(*query)
            except IntegrityError:
                raise  # another process has added the same key
            except DatabaseError as error:
                failures.append(error)
                raise

        connection = connections[router.db_for_write(self.cache_model_class)]
        with connection.execute_wrapper(watch):
            stored = bool(super()._base_set(mode, key, value, timeout))  # type: ignore[misc]
        if failures:
            raise failures[0]
        return stored
