from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.state import StateFolder
from tests.embedded.running import Stack, eventually, manage, processes_of

# The bar for a warm start, on an idle machine with two processors.
_WARM_SECONDS = 5.0
_NOISE = 3.0


@pytest.fixture
def stack(folder: Path) -> Iterator[Stack]:
    """A stack that is ready."""
    stack = Stack(folder / "state", folder / "said.txt")
    try:
        yield stack.wait_ready()
    finally:
        stack.end(signal.SIGKILL)
        eventually(lambda: not processes_of(stack.state), what="no process is left")


def named(stack: Stack, part: str) -> int:
    """The process whose arguments contain `part`."""
    found = [pid for pid, arguments in processes_of(stack.state).items() if part in arguments]
    assert len(found) == 1, processes_of(stack.state)
    return found[0]


def test_it_serves_says_where_and_stops_cleanly(stack: Stack) -> None:
    assert stack.status_of("/healthz") == 200
    running = StateFolder(stack.state).running()
    assert running is not None
    assert (running.pid, running.kind) == (stack.process.pid, "supervisor")
    assert running.address == f"http://127.0.0.1:{stack.port}"
    for part in ("uvicorn", "--queues=default", "--queues=training", " beat", "postgres -D", "valkey-server"):
        named(stack, part)
    assert {log.stem for log in (stack.state / "logs").glob("*.log")} >= {
        *("postgres", "valkey", "migrate", "web", "worker", "training", "beat")
    }
    assert stack.end(signal.SIGINT) == 0
    assert processes_of(stack.state) == {}
    assert "Stopping." in stack.said


def test_a_second_start_says_it_is_running_already(stack: Stack, folder: Path) -> None:
    second = Stack(stack.state, folder / "second.txt")
    assert second.process.wait(30) == 0
    assert f"already running at http://127.0.0.1:{stack.port}" in second.said
    assert stack.status_of("/healthz") == 200


def test_killed_it_leaves_no_process_and_the_next_start_finds_the_data(stack: Stack, folder: Path) -> None:
    made = manage(stack.state, "shell", "-c", _MAKE_USER)
    assert made.returncode == 0, made.stderr
    stack.end(signal.SIGKILL)
    eventually(lambda: not processes_of(stack.state), what="its processes are gone")
    again = Stack(stack.state, folder / "again.txt").wait_ready()
    try:
        assert manage(stack.state, "shell", "-c", _COUNT_USERS).stdout.strip().endswith("found 1")
        assert again.ready_seconds < _WARM_SECONDS * _NOISE
    finally:
        again.end()


@pytest.mark.parametrize("part", ["uvicorn", "--queues=training", "postgres -D", "valkey-server"])
def test_a_child_that_dies_is_started_again(stack: Stack, part: str) -> None:
    victim = named(stack, part)
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        found = [pid for pid, arguments in processes_of(stack.state).items() if part in arguments]
        return len(found) == 1 and found[0] != victim

    eventually(replaced, what=f"{part} runs again")
    assert "killed by SIGKILL" in stack.said
    eventually(lambda: stack.status_of("/healthz") == 200, what="it serves again")


def test_a_port_in_use_is_refused_by_number_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = Stack(folder / "state", folder / "said.txt", PORT=str(port))
        assert stack.process.wait(30) == 1
    assert f"Port {port} can't be used" in stack.said
    assert not (folder / "state" / "postgres").exists()


def test_a_port_that_is_no_number_is_refused(folder: Path) -> None:
    stack = Stack(folder / "state", folder / "said.txt", PORT="http")
    assert stack.process.wait(30) == 1
    assert "PORT='http' is not a port number" in stack.said


def test_an_ordinary_user_can_run_it(folder: Path, ordinary_user: int) -> None:
    stack = Stack(folder / "state", folder / "said.txt", user=ordinary_user).wait_ready()
    assert stack.status_of("/healthz") == 200
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in processes_of(stack.state)}
    assert owners == {ordinary_user}
    assert stack.end() == 0
    assert processes_of(stack.state) == {}


_MAKE_USER = (
    "from django.contrib.auth import get_user_model; get_user_model().objects.create_user(username='kept')"
)
_COUNT_USERS = (
    "from django.contrib.auth import get_user_model;"
    "print('found', get_user_model().objects.filter(username='kept').count())"
)
