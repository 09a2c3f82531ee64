"""manage.py commands start a database or share the running database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.state import StateFolder
from tests.embedded.running import ROOT, environment, eventually, manage, processes_of

_MAKE = "from django.contrib.auth import get_user_model as u; u().objects.create_user(username='{name}')"
_COUNT = "from django.contrib.auth import get_user_model as u; print('found', u().objects.count())"


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """A state folder that the tests share, because creating a cluster and its tables takes 8 s of processor
    time."""
    home = Path(tempfile.mkdtemp(prefix="rl-"))
    home.chmod(0o711)
    yield home / "state"
    shutil.rmtree(home)


def test_command_run_on_its_own_starts_and_stops_its_databases(state: Path) -> None:
    made = manage(state, "shell", "-c", _MAKE.format(name="first"))
    assert made.returncode == 0, made.stderr
    assert processes_of(state) == {}
    assert StateFolder(state).running() is None


def test_second_command_waits_for_the_first(state: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-c", "print('in', flush=True); input()"],
        cwd=ROOT,
        env=environment(state),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdin is not None
    assert first.stdout is not None
    with first.stdin, first.stdout:
        eventually(
            lambda: StateFolder(state).running() is not None, what="the first command has started its servers"
        )
        second = subprocess.Popen(
            [sys.executable, "manage.py", "shell", "-c", _MAKE.format(name="second")],
            cwd=ROOT,
            env=environment(state),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        with second.stderr:
            assert second.stderr.readline() == f"Waiting for the process that uses {state}.\n"
            assert second.poll() is None
            first.stdin.write("\n")
            first.stdin.flush()
            assert first.wait(60) == 0
            assert second.wait(60) == 0
    assert (
        manage(state, "shell", "-c", _COUNT).stdout.strip().endswith("found 2")
    )  # including the user created in the first test
    assert processes_of(state) == {}


def test_command_that_needs_no_database_does_not_start_one(folder: Path) -> None:
    assert manage(folder / "state", "check").returncode == 0
    assert not (folder / "state" / "postgres").exists()


def test_error_for_an_unusable_state_folder_names_the_setting(folder: Path) -> None:
    (folder / "file").write_text("")
    refused = manage(folder / "file" / "state", "shell", "-c", _COUNT)
    assert refused.returncode != 0
    assert "RANKLOOP_STATE" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert os.listdir(folder) == ["file"]
