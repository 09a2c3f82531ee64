"""A pytest plugin (`-p tests.services`) that starts a temporary Postgres and Valkey, the same programs as in
production.

The settings need the servers' addresses. The plugin is therefore loaded before pytest-django reads the
settings. xdist workers share the servers, but each worker has its own test database, Valkey database and
state folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import IO

import pytest

from embedded.servers import Servers
from embedded.state import StateFolder

_PREFIX = "rankloop-tests-"
_stash = pytest.StashKey["Services"]()


class Services:
    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.home.chmod(
            0o711
        )  # root's Postgres runs as the account `nobody`, which needs access to this folder
        self._lock = _lock(self.home)
        for name in ("DATABASE_URL", "BROKER_URL"):
            os.environ.pop(name, None)  # tests never touch servers named in the shell's environment
        self._servers = Servers(StateFolder(self.home), durable=False)

    def start(self) -> None:
        try:
            self._servers.start()
        except BaseException:
            self.stop()
            raise
        os.environ.update(self._servers.environment)
        os.environ["RANKLOOP_STATE"] = str(self.home / "state")

    def stop(self) -> None:
        self._servers.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def _lock(home: Path) -> IO[bytes] | None:
    """A lock that is held until the run ends; None if another run holds it."""
    handle = (home / "lock").open("wb")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def _remove_leftovers() -> None:
    """Delete the files of killed runs, whose servers stopped when the runs were killed."""
    for home in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if (
            home.is_dir()
            and home.stat().st_uid == os.geteuid()
            and (home / "lock").exists()
            and (lock := _lock(home))
        ):
            shutil.rmtree(home, ignore_errors=True)
            lock.close()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Two test processes with two threads each would mostly wait for each other on two processors.
    os.environ["OMP_NUM_THREADS"] = "1"
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        os.environ["BROKER_URL"] += f"?virtual_host={int(worker.removeprefix('gw')) + 1}"
        os.environ["RANKLOOP_STATE"] += f"-{worker}"
        return
    _remove_leftovers()
    services = early_config.stash[_stash] = Services()
    services.start()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_unconfigure(config: pytest.Config) -> Generator[None, None, None]:
    yield
    if (services := config.stash.get(_stash, None)) is not None:
        services.stop()
