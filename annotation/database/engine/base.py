"""Django's Postgres backend, with a pool that survives a restart of Postgres.

After a restart, all idle connections are dead. When a connection fails its check, psycopg's pool waits 1 s,
2 s, 4 s, … before it tries the next connection. With four idle connections, one request in each web process
therefore failed after the pool's timeout of 10 s. This pool replaces all dead connections after the first
failed check.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    # The type stubs lack these parts of Django's class.
    _connection_pools: dict[str, ConnectionPool[Any]]
    _configure_connection: Any

    @property
    def pool(self) -> Any:
        options = self.settings_dict["OPTIONS"].get("pool")
        if options and self.alias not in (*self._connection_pools, NO_DB_ALIAS):
            self._connection_pools.setdefault(self.alias, self._new_pool(options))
        return super().pool  # type: ignore[misc]

    def _new_pool(self, options: dict[str, Any]) -> ConnectionPool[Any]:
        def check(connection: Connection[Any]) -> None:
            try:
                ConnectionPool.check_connection(connection)
            except Exception:
                pool.check()
                raise

        pool: ConnectionPool[Any] = ConnectionPool(
            kwargs=self.get_connection_params() | {"autocommit": True},
            open=False,
            configure=self._configure_connection,
            check=check,
            **options,
        )
        return pool
