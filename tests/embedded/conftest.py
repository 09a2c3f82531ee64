from __future__ import annotations

import os
import pwd
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.folders import reachable_by_others
from tests.embedded.running import ROOT, Python, Someone


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that has a short path and that any account can enter. pytest's own folder has a long path, and
    root's Postgres, which runs as the account `nobody`, can't enter it."""
    path = Path(tempfile.mkdtemp(prefix="rl-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can change accounts")


@pytest.fixture(scope="session")
def python_for_all() -> Iterator[Python]:
    """A Python that any account can run and that has the same version as the running Python. If no such
    Python is installed, the running Python is copied to a temporary folder.

    The versions must match because compiled packages work with only one version of Python.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/local/bin/{name}", f"/usr/bin/{name}"):
        if Path(path).exists() and _open(Path(path)):
            yield Python(path)
            return
    home = Path(tempfile.mkdtemp(prefix="rl-python-"))
    home.chmod(0o755)
    base = Path(sys.base_prefix)
    (home / "bin").mkdir()
    (home / "lib").mkdir()
    shutil.copy(base / "bin" / name, home / "bin" / name)
    for library in (base / "lib").glob(f"lib{name}*.so*"):
        shutil.copy(library, home / "lib" / library.name)
    unused = shutil.ignore_patterns("test", "tests", "site-packages", "idlelib", "ensurepip", "config-*")
    shutil.copytree(base / "lib" / name, home / "lib" / name, ignore=unused)
    yield Python(str(home / "bin" / name), libraries=str(home / "lib"))
    shutil.rmtree(home)


@pytest.fixture
def ordinary_user(as_root: None, folder: Path, python_for_all: Python) -> Someone:
    """An unprivileged account that owns `folder`."""
    if not _open(ROOT) or not _open(Path(sysconfig.get_path("purelib"))):
        pytest.skip("the checkout or its packages are in a folder that other accounts can't enter")
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, uid, -1)
    return Someone(uid, python_for_all)


def _open(path: Path) -> bool:
    return reachable_by_others(path.parent) and reachable_by_others(path)
