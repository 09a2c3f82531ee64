"""Outages of a real Postgres as its clients see them, limited to the test database or to one socket."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from django.db import connection
from psycopg import sql

_CHUNK = 1 << 16


class Outage:
    """An outage of the test database: all its connections are cut, and new connections are refused."""

    def __init__(self) -> None:
        settings = connection.settings_dict
        self._name = str(settings["NAME"])
        self._outside = psycopg.connect(
            host=settings["HOST"], user=settings["USER"], dbname="postgres", autocommit=True
        )

    def begin(self) -> None:
        self._allow("false")
        self._outside.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [self._name]
        )

    def end(self) -> None:
        self._allow("true")

    def close(self) -> None:
        self.end()
        self._outside.close()

    def _allow(self, allowed: str) -> None:
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS " + allowed)
        self._outside.execute(statement.format(sql.Identifier(self._name)))


class CuttingProxy:
    """A socket in front of Postgres. The first time that a client sends `after`, the statement takes effect,
    but the client loses its connection before it receives the result."""

    def __init__(self, folder: Path, *, after: bytes) -> None:
        self.folder = folder
        self.cuts = 0
        self._after = after
        self._server = Path(str(connection.settings_dict["HOST"])) / ".s.PGSQL.5432"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(folder / ".s.PGSQL.5432"))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._server))
        cutting = False
        with client, server, suppress(OSError):
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(_CHUNK)
                    if not data or (cutting and ready is server):
                        return
                    if ready is client and self._after in data and self.cuts == 0:
                        self.cuts, cutting = 1, True
                    (server if ready is client else client).sendall(data)


@contextmanager
def losing_the_answer(folder: Path, *, after: bytes) -> Iterator[CuttingProxy]:
    """Routes this process's next database connection through a CuttingProxy."""
    proxy = CuttingProxy(folder, after=after)
    settings = connection.settings_dict
    host, options = settings["HOST"], dict(settings["OPTIONS"])
    connection.close()
    settings["HOST"] = str(folder)
    settings["OPTIONS"].pop("pool", None)
    try:
        yield proxy
    finally:
        connection.close()
        settings["HOST"] = host
        settings["OPTIONS"].update(options)
        proxy.close()
