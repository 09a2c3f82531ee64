from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.folders import reachable_by_others
from tests.embedded.running import ROOT


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
def ordinary_user(as_root: None, folder: Path) -> int:
    """The id of an account without rights, which owns `folder`."""
    if not reachable_by_others(ROOT / ".venv" / "bin"):
        pytest.skip("the checkout is in a folder that other accounts can't enter")
    uid = pwd.getpwnam("nobody").pw_uid
    os.chown(folder, uid, -1)
    return uid
