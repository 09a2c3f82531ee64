"""The state folder: what one installation keeps (databases, artefacts, logs, secrets), and who runs it.

One process at a time runs the servers of a state folder. It holds a lock on the file `lock` (the kernel drops
it with the process, however that ends) and says in `running.json` where the servers are.
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

_PRIVATE_FILE = 0o600
# Others may pass through (root's Postgres runs as `nobody`) but not list; what is secret is itself private.
_FOLDER_MODE = 0o711
_SECRET_BYTES = 48
# `struct flock` on 64-bit Linux: type, whence, start, length (0: to the end), pid. Locks of the open file
# description, because they can be looked at without being taken, which flock() can't.
_FLOCK = "hhqqi4x"
_WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class StateInUse(Exception):
    """Another process runs this state folder's servers."""


@dataclass(frozen=True)
class Running:
    """What the process that runs the servers says about itself."""

    pid: int
    kind: str  # "supervisor" (scripts/up) or "command" (one manage.py command)
    database_url: str
    broker_url: str
    address: str = ""  # of the web server; a command has none


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
                "Set RANKLOOP_STATE to a folder you may write to."
            ) from error
        probe.close()

    def secret_key(self) -> str:
        """Made at first use and kept; two processes that make it at the same time get the same one."""
        return self.keep_private("secret-key", secrets.token_urlsafe(_SECRET_BYTES))

    def keep_private(self, name: str, text: str) -> str:
        """Store `text` in a file only its owner can read, unless that file is there; return what it holds."""
        target = self.path / name
        if not target.exists():
            self.create()
            handle, partial = tempfile.mkstemp(prefix=f"{name}.", dir=self.path)  # mkstemp's mode is 0600
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            try:
                os.link(partial, target)
            except FileExistsError:
                pass
            finally:
                os.unlink(partial)
        return target.read_text(encoding="utf-8")

    @contextmanager
    def lock(self, *, wait: bool = False) -> Iterator[None]:
        """Be the one process that runs the servers; StateInUse when another one does and `wait` is false."""
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
        """Say where the servers are. Only under :meth:`lock`."""
        partial = self._announcement.with_suffix(".partial")
        partial.touch(_PRIVATE_FILE)
        partial.write_text(json.dumps(asdict(running)))
        partial.replace(self._announcement)

    def running(self) -> Running | None:
        """What runs the servers now. None when nothing does, and while a start can't say yet."""
        try:
            with (self.path / "lock").open() as handle:
                found = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _WHOLE_FILE)
            if struct.unpack(_FLOCK, found)[0] == fcntl.F_UNLCK:
                return None  # what running.json says is left from a killed process
            return Running(**json.loads(self._announcement.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    @property
    def _announcement(self) -> Path:
        return self.path / "running.json"
