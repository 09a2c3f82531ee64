"""A complete stack as a child process of the test, and the processes that belong to a state folder."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from embedded.state import StateFolder

ROOT = Path(__file__).resolve().parents[2]
_READY = re.compile(r"ready at http://127\.0\.0\.1:(\d+)")
_READY_SECONDS = 150.0  # the supervisor gives up after 120 s


@dataclass(frozen=True)
class Python:
    path: str
    libraries: str = ""  # libpython's folder, if the dynamic loader doesn't find the library


@dataclass(frozen=True)
class Someone:
    """An unprivileged account, and a Python that it can run."""

    uid: int
    python: Python


def environment(state: Path, user: Someone | None = None) -> dict[str, str]:
    """The environment variables of a stack that uses this state folder: the test's own variables, except
    those that set the test run's servers and thread limit."""
    outside = {"DATABASE_URL", "BROKER_URL", "PYTEST_XDIST_WORKER", "OMP_NUM_THREADS"}
    inherited = {name: value for name, value in os.environ.items() if name not in outside}
    if user is not None:
        inherited |= {"PYTHONPATH": sysconfig.get_path("purelib"), "HOME": "/nonexistent"}
        inherited |= {"LD_LIBRARY_PATH": user.python.libraries} if user.python.libraries else {}
    return inherited | {"RANKLOOP_STATE": str(state), "PORT": "0"}


def processes_of(state: Path) -> dict[int, str]:
    """Live processes (no zombies) with this state folder in their environment or arguments."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes()
            variables = (entry / "environ").read_bytes()
        except OSError:
            continue
        if arguments and os.fsencode(state) in arguments + variables:
            found[int(entry.name)] = arguments.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return found


def eventually(condition: Callable[[], object], *, seconds: float = 20.0, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"this did not happen within {seconds:.0f} s: {what}"
        time.sleep(0.05)


class Stack:
    """`python -m embedded up` in its own session, with its output in a file. The demo is created only if
    requested."""

    def __init__(
        self,
        state: Path,
        output: Path,
        *,
        user: Someone | None = None,
        demo: bool = False,
        **variables: str,
    ) -> None:
        self.state = state
        self.output = output
        self._commands: Commands | None = None
        with output.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    user.python.path if user else sys.executable,
                    *("-m", "embedded", "up"),
                    *(() if demo else ("--no-demo",)),
                ],
                cwd=ROOT,
                env=environment(state, user) | variables,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user.uid if user else None,
                extra_groups=[] if user else None,
            )

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *failure: object) -> None:
        self.end(signal.SIGKILL)
        eventually(lambda: not processes_of(self.state), what="the stack's processes are gone")

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> Stack:
        eventually(
            lambda: _READY.search(self.said) or self.process.poll() is not None,
            seconds=_READY_SECONDS,
            what=f"the stack is ready; its output: {self.said!r}",
        )
        assert _READY.search(self.said), self.said
        return self

    @property
    def port(self) -> int:
        found = _READY.search(self.said)
        assert found, self.said
        return int(found[1])

    def rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Runs a query on the stack's database and returns the rows. A direct connection takes about 1 % of
        the time that `manage.py shell` needs."""
        running = StateFolder(self.state).running()
        assert running is not None
        with psycopg.connect(running.database_url, row_factory=dict_row) as connection:
            return connection.execute(sql.encode(), values).fetchall()

    def status_of(self, path: str) -> int:
        """Requests the path and returns the HTTP status, or 0 after a timeout."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except TimeoutError:
            return 0
        finally:
            connection.close()

    def manage(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Runs a manage.py command on this stack, which must be running. A process that has already loaded
        Django runs the command, so manage.py does not have to start (see `command_server`)."""
        if self._commands is None:
            self._commands = Commands(self.state)
        return self._commands.run(arguments, timeout)

    def end(self, sig: signal.Signals = signal.SIGTERM) -> int:
        if self._commands is not None:
            self._commands.end()
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(60)


class Commands:
    """A process that runs manage.py commands on a running stack."""

    def __init__(self, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded.command_server"],
            cwd=ROOT,
            env=environment(state),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            asked = {"argv": list(arguments), "out": str(out), "err": str(err)}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], timeout)[0]:
                self.end()
                raise subprocess.TimeoutExpired(list(arguments), timeout)
            answer = self._process.stdout.readline()
            assert answer, "the process that runs commands has ended; its error is printed above"
            return subprocess.CompletedProcess(list(arguments), int(answer), out.read_text(), err.read_text())

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def manage(
    state: Path, *arguments: str, user: Someone | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [user.python.path if user else sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(state, user),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        user=user.uid if user else None,
        extra_groups=[] if user else None,
    )
