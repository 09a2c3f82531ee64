from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.state import StateFolder
from tests.embedded.running import Someone, Stack, eventually, manage, processes_of


@pytest.fixture(scope="module")
def shared() -> Iterator[Stack]:
    """A stack that is ready. Tests that use the stack leave it running, except the last test."""
    home = Path(tempfile.mkdtemp(prefix="rl-"))
    home.chmod(0o711)
    with Stack(home / "state", home / "said.txt") as stack:
        yield stack.wait_ready()
    shutil.rmtree(home)


def running(stack: Stack, part: str) -> list[int]:
    """The stack's processes with `part` in their arguments."""
    return [pid for pid, arguments in processes_of(stack.state).items() if part in arguments]


def test_stack_responds_and_announces_its_address(shared: Stack) -> None:
    assert shared.status_of("/healthz") == 200
    found = StateFolder(shared.state).running()
    assert found is not None
    assert (found.pid, found.kind) == (shared.process.pid, "supervisor")
    assert found.address == f"http://127.0.0.1:{shared.port}"
    for part in (
        "--queues=default",
        "--queues=imports",
        "--queues=training",
        " beat",
        "postgres -D",
        "valkey-server",
    ):
        assert len(running(shared, part)) == 1, part
    eventually(lambda: len(running(shared, "uvicorn")) == 2, what="a second web process runs")
    logs = {log.stem for log in (shared.state / "logs").glob("*.log")}
    assert logs == {
        "postgres",
        "valkey",
        "migrate",
        "web-1",
        "web-2",
        "worker",
        "imports",
        "training",
        "beat",
    }


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the machine has one processor")
def test_database_leaves_the_first_processor_to_web_connections(shared: Stack) -> None:
    assert shared.status_of("/healthz") == 200  # opens a connection
    processors = os.sched_getaffinity(0)
    others = processors - {min(processors)}
    (server,) = running(shared, "postgres -D")
    assert os.sched_getaffinity(server) == others
    of_sessions: list[set[int]] = []
    of_server: list[set[int]] = []
    for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        title = Path(f"/proc/{child}/cmdline").read_bytes()
        (of_sessions if b"[local]" in title else of_server).append(os.sched_getaffinity(int(child)))
    assert processors in of_sessions
    assert len(of_server) >= 4
    assert all(found == others for found in of_server)


def test_second_start_reports_that_the_stack_is_running(shared: Stack, folder: Path) -> None:
    second = Stack(shared.state, folder / "second.txt")
    assert second.process.wait(30) == 0
    assert f"already running at http://127.0.0.1:{shared.port}" in second.said
    assert shared.status_of("/healthz") == 200


@pytest.mark.parametrize(
    "part", ["uvicorn", "--queues=training", "postgres -D", "valkey-server", "log_writer.py"]
)
def test_child_that_dies_is_restarted(shared: Stack, part: str) -> None:
    before = running(shared, part)
    os.kill(before[0], signal.SIGKILL)
    eventually(
        lambda: len(now := running(shared, part)) == len(before) and before[0] not in now,
        what=f"{part} runs again",
    )
    assert "killed by SIGKILL" in shared.said
    eventually(lambda: shared.status_of("/healthz") == 200, seconds=60, what="the server responds again")


def test_site_responds_while_the_log_writer_hangs(shared: Stack) -> None:
    (writer,) = running(shared, "log_writer.py")
    os.kill(writer, signal.SIGSTOP)
    try:
        for _ in range(50):
            assert shared.status_of("/api/v1/nothing") == 404
    finally:
        os.kill(writer, signal.SIGCONT)
    logs = [shared.state / "logs" / f"web-{number}.log" for number in (1, 2)]
    eventually(
        lambda: sum(log.read_text().count("GET /api/v1/nothing: 404") for log in logs) == 50,
        what="every line is written",
    )


def test_port_in_use_is_refused_before_anything_starts(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Stack(folder / "state", folder / "said.txt", PORT=str(port)) as stack:
            assert stack.process.wait(30) == 1
    assert f"Port {port} can't be used" in stack.said
    assert not (folder / "state" / "postgres").exists()


def test_invalid_port_is_refused(folder: Path) -> None:
    with Stack(folder / "state", folder / "said.txt", PORT="http") as stack:
        assert stack.process.wait(30) == 1
    assert "PORT='http' is not a port number" in stack.said


def test_ordinary_user_can_run_the_stack_and_commands(folder: Path, ordinary_user: Someone) -> None:
    with Stack(folder / "state", folder / "said.txt", user=ordinary_user) as stack:
        stack.wait_ready()
        assert stack.status_of("/healthz") == 200
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in processes_of(stack.state)}
        assert owners == {ordinary_user.uid}
        assert stack.end() == 0
        assert processes_of(stack.state) == {}
        alone = manage(stack.state, "create_project", "mine", user=ordinary_user)
        assert alone.returncode == 0, alone.stderr
        assert (stack.state / "postgres" / "data").stat().st_uid == ordinary_user.uid
        assert processes_of(stack.state) == {}


def test_killed_stack_leaves_no_process_running_and_loses_no_data(shared: Stack, folder: Path) -> None:
    made = manage(shared.state, "create_project", "kept")
    assert made.returncode == 0, made.stderr
    launched = manage(shared.state, "launch_run", "sft", "--project", "kept")
    assert launched.returncode == 0, launched.stderr
    # Three generations of processes, each in its own session: the worker, its fork server, and the fork.
    eventually(
        lambda: len(running(shared, "training.runs.process.fork_server")) == 2,
        seconds=120,  # the fork server loads torch first, while other tests run
        what="the training process runs",
    )
    shared.end(signal.SIGKILL)
    eventually(lambda: not processes_of(shared.state), what="the stack's processes are gone")
    with Stack(shared.state, folder / "again.txt") as again:
        again.wait_ready()
        assert again.rows("SELECT slug FROM annotation_project") == [{"slug": "kept"}]
        assert again.end(signal.SIGINT) == 0
        assert processes_of(shared.state) == {}
        assert "Stopping." in again.said
