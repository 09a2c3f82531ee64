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
from tests.embedded.running import ROOT, Someone


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder that any account can enter: pytest's own is long, and closed to root's Postgres."""
    path = Path(tempfile.mkdtemp(prefix="rl-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it changes accounts")


@pytest.fixture
def ordinary_user(as_root: None, folder: Path) -> Someone:
    """An account without rights, which owns `folder`."""
    pythons = (sys.executable, "/usr/bin/python3.11")
    python = next((path for path in pythons if Path(path).exists() and _open(Path(path))), None)
    if python is None or not _open(ROOT) or not _open(Path(sysconfig.get_path("purelib"))):
        pytest.skip("the checkout, or every Python 3.11, is in a folder that other accounts can't enter")
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, uid, -1)
    return Someone(uid, python)


def _open(path: Path) -> bool:
    return reachable_by_others(path.parent) and reachable_by_others(path)
