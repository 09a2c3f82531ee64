"""The state folder contains an installation's databases, artefacts, logs and secrets. The folder also
records which process runs the servers.

Only one process at a time runs a state folder's servers. This process holds a lock on the file `lock` and
writes the servers' addresses to `running.json`. When the process ends, for whatever reason, the kernel
releases the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.processes import ServerError
from storage import durable

_PRIVATE_FILE = 0o600
# Other accounts can pass through the state folder but can't list it. Root's Postgres runs as the account
# `nobody`, which must be able to reach its files in the folder. Files with secrets are private.
_FOLDER_MODE = 0o711
_SECRET_BYTES = 48
# The fields of `struct flock` on 64-bit Linux are type, whence, start, length (0: to the end) and pid. We use
# open file description locks. Unlike flock() locks, these locks can be queried without being acquired.
_FLOCK = "hhqqi4x"
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class StateInUse(Exception):
    """Raised if another process runs the servers of this state folder."""


@dataclass(frozen=True)
class Running:
    """The process that runs the servers, and the servers' addresses."""

    pid: int
    kind: str  # "supervisor" (scripts/up) or "command" (one manage.py command)
    database_url: str
    broker_url: str
    address: str = ""  # the web server's address; empty if `kind` is "command"


@dataclass(frozen=True)
class StateFolder:
    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def artefacts(self) -> Path:
        return self.path / "artefacts"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def create(self) -> None:
        try:
            self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(_FOLDER_MODE)
            for private in (self.logs, self.artefacts):
                private.mkdir(mode=0o700, exist_ok=True)
            probe = tempfile.TemporaryFile(dir=self.path)  # noqa: SIM115
        except OSError as error:
            raise ServerError(
                f"The state folder {self.path} can't be used: {error.strerror}. "
                "Set RANKLOOP_STATE to a folder that you can write to."
            ) from error
        probe.close()

    def secret_key(self) -> str:
        """The secret key, which is created on first use and then stored. Processes that create the key at the
        same time get the same key."""
        return self.keep_private("secret-key", secrets.token_urlsafe(_SECRET_BYTES))

    def keep_private(self, name: str, text: str) -> str:
        """If the file does not exist, create it with this text, so that only its owner can read it. Return
        the text that the file contains."""
        target = self.path / name
        if not target.exists():
            self.create()
        return durable.write_once(target, text, mode=_PRIVATE_FILE)

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Become the only process that runs the servers. Raise StateInUse if another process runs the servers
        and `wait` is false."""
        self.create()
        with (self.path / "lock").open("w") as handle:
            try:
                fcntl.fcntl(handle, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, _WHOLE_FILE)
            except BlockingIOError:
                raise StateInUse from None
            self._announcement.unlink(missing_ok=True)
            try:
                yield
            finally:
                self._announcement.unlink(missing_ok=True)

    def announce(self, running: Running) -> None:
        """Publish the servers' addresses. Call this only while holding :meth:`lock`."""
        durable.write_text(self._announcement, json.dumps(asdict(running)), mode=_PRIVATE_FILE)

    def running(self) -> Running | None:
        """The process that runs the servers now. None if no process runs the servers, or if the process
        has not yet written `running.json`."""
        try:
            with (self.path / "lock").open() as handle:
                found = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _WHOLE_FILE)
            if struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK:
                return None  # an existing running.json was left by a killed process
            return Running(**json.loads(self._announcement.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    @property
    def _announcement(self) -> Path:
        return self.path / "running.json"
