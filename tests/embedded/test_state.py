from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedded.processes import ServerError
from embedded.state import Running, StateFolder, StateInUse
from tests.embedded.running import ROOT

_HOLD = """
import os, sys, time
from pathlib import Path
from embedded.state import Running, StateFolder
state = StateFolder(Path(sys.argv[1]))
with state.lock():
    state.announce(Running(os.getpid(), "supervisor", "postgresql://", "redis://", "http://here"))
    print("held", flush=True)
    time.sleep(60)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_and_artefacts_and_logs_are_private(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.secret_key()
    state.keep_private("demo-logins.txt", "mona: …")
    assert mode(state.path / "secret-key") == 0o600
    assert mode(state.path / "demo-logins.txt") == 0o600
    assert mode(state.artefacts) == mode(state.logs) == 0o700
    assert mode(state.path) == 0o711


def test_secret_key_is_long_and_persistent(tmp_path: Path) -> None:
    first = StateFolder(tmp_path).secret_key()
    assert len(first) >= 50
    assert StateFolder(tmp_path).secret_key() == first


def test_concurrent_first_uses_of_a_folder_read_the_same_secret_key(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)
    keys: list[str] = []

    def make() -> None:
        barrier.wait()
        keys.append(StateFolder(tmp_path).secret_key())

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("secret-key")] == ["secret-key"]


def test_only_one_process_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    with state.lock():
        assert state.running() is None
        with pytest.raises(StateInUse), state.lock():
            pytest.fail("two processes held the lock")
        state.announce(Running(os.getpid(), "command", "postgresql://", "redis://"))
        assert state.running() == Running(os.getpid(), "command", "postgresql://", "redis://")
        assert mode(tmp_path / "running.json") == 0o600
    assert state.running() is None


def test_killed_process_releases_the_lock(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        running = state.running()
        assert running is not None
        assert running.pid == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / "running.json").exists()
    assert state.running() is None
    with state.lock():
        assert not (tmp_path / "running.json").exists()


def test_error_for_an_unwritable_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ServerError, match="RANKLOOP_STATE"):
        StateFolder(tmp_path / "file" / "state").create()
