"""The state folder's two servers, Postgres and Valkey. DATABASE_URL and BROKER_URL can specify other servers
instead."""

from __future__ import annotations

import os

from embedded.postgres import Postgres
from embedded.processes import OpenLog
from embedded.state import StateFolder
from embedded.valkey import Valkey


class Servers:
    """Postgres and Valkey, started in parallel and stopped together. `environment` contains the variables
    with the servers' addresses."""

    def __init__(
        self,
        state: StateFolder,
        *,
        durable: bool = True,
        open_log: OpenLog | None = None,
        leave_first_processor: bool = False,
    ) -> None:
        self.state = state
        self._open_log = open_log
        self._durable = durable
        self._leave_first_processor = leave_first_processor
        self._started: list[Postgres | Valkey] = []
        self.database_url = os.environ.get("DATABASE_URL", "").strip()
        self.broker_url = os.environ.get("BROKER_URL", "").strip()

    @property
    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "BROKER_URL": self.broker_url}

    @property
    def embedded(self) -> tuple[str, ...]:
        """The names of the servers that `start` must start. The environment does not specify external servers
        for them."""
        named = {"postgres": self.database_url, "valkey": self.broker_url}
        return tuple(name for name, url in named.items() if not url)

    @property
    def started(self) -> dict[str, Postgres | Valkey]:
        return {type(server).__name__.lower(): server for server in self._started}

    def start(self) -> None:
        """Return when both servers respond. If the start fails, neither server is left running."""
        try:
            if not self.database_url:
                postgres = Postgres(
                    self.state.postgres,
                    log=self.state.logs / "postgres.log",
                    durable=self._durable,
                    open_log=self._open_log,
                    leave_first_processor=self._leave_first_processor,
                )
                self._started.append(postgres)
                postgres.launch()
                self.database_url = postgres.url
            if not self.broker_url:
                valkey = Valkey(
                    self.state.valkey, log=self.state.logs / "valkey.log", open_log=self._open_log
                )
                self._started.append(valkey)
                valkey.launch()
                self.broker_url = valkey.url
            for server in self._started:
                server.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in reversed(self._started):
            server.stop()
        self._started.clear()
