"""The servers that a manage.py command uses. If a stack is running, the command uses its servers. Otherwise,
servers are started for the duration of the command."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from embedded.servers import Servers
from embedded.state import Running, StateFolder, StateInUse

# Commands that never connect to a server. If a command that does connect were listed here, its connection
# would be refused.
_NEEDS_NO_DATABASE = frozenset(
    {"help", "version", "--help", "-h", "--version", "check", "spectacular", "collectstatic"}
)
_POLL_SECONDS = 0.2


def default_state() -> StateFolder:
    """RANKLOOP_STATE, or .rankloop next to manage.py."""
    named = os.environ.get("RANKLOOP_STATE", "").strip()
    return StateFolder(Path(named or Path(__file__).resolve().parent.parent / ".rankloop").resolve())


def addresses(state: StateFolder) -> tuple[str, str]:
    """Return (database URL, broker URL). If the environment does not set a URL, the default is the running
    stack's URL. If no stack is running, the default is the URL that a stack would use."""
    database, broker = _from_environment("DATABASE_URL"), _from_environment("BROKER_URL")
    if database and broker:
        return database, broker
    running = state.running()
    if running is not None:
        return database or running.database_url, broker or running.broker_url
    sockets = (state.postgres / "socket", state.valkey / "socket" / "valkey.sock")
    return database or f"postgresql:///postgres?host={sockets[0]}", broker or f"redis+socket://{sockets[1]}"


@contextmanager
def databases_for(argv: Sequence[str]) -> Iterator[bool]:
    """Set DATABASE_URL and BROKER_URL, and yield whether the servers were started for this command."""
    command = argv[1] if len(argv) > 1 else "help"
    outside = _named_outside("DATABASE_URL") and _named_outside("BROKER_URL")
    # In production, no embedded servers are started. If DATABASE_URL or BROKER_URL is missing, the settings
    # raise an error.
    outside = outside or _from_environment("RANKLOOP_ENV") == "production"
    if outside or command in _NEEDS_NO_DATABASE or "--help" in argv:
        yield False
        return
    with ExitStack() as owned:
        servers = _join_or_start(default_state(), owned)
        yield servers is not None


def _join_or_start(state: StateFolder, owned: ExitStack) -> Servers | None:
    """Join the running stack and return None, or start servers and return them. Servers that this function
    starts are stopped when `owned` is closed.

    Wait until any other command that started its own servers has finished. Otherwise, the other command could
    stop the servers while this command is using them.
    """
    waiting = False
    while True:
        running = state.running()
        if running is not None and running.kind == "supervisor":
            _fill_environment(running.database_url, running.broker_url)
            return None
        try:
            owned.enter_context(state.lock())
        except StateInUse:
            if not waiting:
                sys.stderr.write(f"Waiting for the process that uses {state.path}.\n")
                waiting = True
            time.sleep(_POLL_SECONDS)
            continue
        servers = Servers(state)
        servers.start()
        owned.callback(servers.stop)
        state.announce(Running(os.getpid(), "command", servers.database_url, servers.broker_url))
        _fill_environment(servers.database_url, servers.broker_url)
        return servers


def _from_environment(name: str) -> str:
    return os.environ.get(name, "").strip()


def _named_outside(name: str) -> bool:
    return bool(_from_environment(name) or _from_environment(f"{name}_FILE"))


def _fill_environment(database_url: str, broker_url: str) -> None:
    for name, url in (("DATABASE_URL", database_url), ("BROKER_URL", broker_url)):
        if not _named_outside(name):
            os.environ[name] = url
