"""Start training processes by forking a process that has already imported their libraries (`fork_server`)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings

from embedded import processes
from embedded.log_files import LogFiles, log_of_one
from training.runs.process.fork_server import ENVIRONMENT

logger = logging.getLogger(__name__)
_MAX_ANSWER = 1 << 10
# The first answer arrives after the server has imported torch, which takes a minute on a slow disk.
ANSWER_SECONDS = 300.0
STDERR = 2  # file descriptor of the worker's log
# Maximum size of the log file. One older file of this size is also kept. A run that prints a line per step
# takes days to fill a file.
LOG_BYTES = 5 * 2**20


class ServerGone(Exception):
    """Raised if the fork server has ended or was killed because it hung. The server's child processes end
    with the server."""


def prepare(*, environment: Mapping[str, str]) -> None:
    """Wait until a training process can be forked immediately. If no process can be forked, `start` raises
    ServerGone."""
    for _ in range(2):  # an idle server might have just ended
        server = _serving(environment)
        try:
            server.ask({})
        except ServerGone:
            _forget(server)
        else:
            return


def start(argv: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Forked:
    """Run `python -m training.runs.process.main` with these arguments, in a new session.

    The new process is killed when this process ends. The new process's output is appended to `log`, of which
    at least the newest LOG_BYTES are kept. Raises ServerGone if no fork server can be started.
    """
    question = {"argv": list(argv), "environment": dict(environment)}
    with log_of_one(log, limit=LOG_BYTES) as (output, files):
        for _ in range(2):  # an idle server might have just ended
            server = _serving(environment)
            try:
                return Forked(server, server.ask(question, [output.fileno(), STDERR]), files)
            except (ServerGone, ProcessLookupError):
                _forget(server)
    raise ServerGone(
        "the fork server for training processes ended immediately after it started; see the worker's log"
    )


class Forked:
    """A training process. The process is a child of the fork server, so only the server can reap the process.
    The worker watches the process through a pidfd."""

    def __init__(self, server: _Server, pid: int, log: LogFiles) -> None:
        self._server = server
        self._log = log
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def dump_stacks(self) -> None:
        """Make the process write the stacks of its threads to its log (see `main`)."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGUSR1)

    def has_ended(self, *, within_seconds: float) -> bool:
        """Check whether the process has ended, without reaping it. Until the process is reaped, no
        other process can get its ID. The process group has the same ID."""
        return bool(select.select([self._handle], [], [], within_seconds)[0])

    def kill_group(self) -> None:
        """Kill the process and its process group, because the group can outlive its leader. Call this before
        `reap`."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)  # the process might not lead a group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Reap the process and return its exit code, or the negative number of the signal that ended it. All
        of the process's output is then in the log.

        Call this method only after the process has ended. While the server waits for the process, the server
        can't fork other processes.
        """
        os.close(self._handle)
        try:
            return self._server.ask({"reap": self.pid})
        except ServerGone:
            return -signal.SIGKILL  # the kernel sends this signal when the server ends
        finally:
            self._log.wait()


class _Server:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._client, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # No parent-death signal is set. The kernel would send this signal when the thread that starts the
            # server ends, even if the worker continues. Instead, the server ends when the socket closes.
            self._process = processes.spawn(
                [sys.executable, "-m", "training.runs.process.fork_server", str(theirs.fileno())],
                log=None,
                death_signal=None,
                env={**environment, **ENVIRONMENT},
                cwd=settings.BASE_DIR,
                pass_fds=[theirs.fileno()],
            )
        self._turn = threading.Lock()

    def ask(self, question: Mapping[str, object], descriptors: Sequence[int] = ()) -> int:
        """Send a request to the server and return its response. A server that does not respond within
        ANSWER_SECONDS is killed, because it would block all further runs of this worker."""
        with self._turn:
            self._client.settimeout(ANSWER_SECONDS)
            try:
                socket.send_fds(self._client, [json.dumps(question).encode()], descriptors)
                answer = self._client.recv(_MAX_ANSWER)
            except TimeoutError as error:
                logger.error(
                    "The fork server did not respond within %.0f s and will be killed.", ANSWER_SECONDS
                )
                self._process.kill()
                raise ServerGone from error
            except OSError as error:
                raise ServerGone from error
        if not answer:
            raise ServerGone
        number: int = json.loads(answer)
        return number

    def close(self) -> None:
        self._client.close()
        self._process.wait()


_serving_now: _Server | None = None
_change = threading.Lock()


def _serving(environment: Mapping[str, str]) -> _Server:
    global _serving_now
    with _change:
        if _serving_now is None:
            _serving_now = _Server(environment)
        return _serving_now


def _forget(server: _Server) -> None:
    global _serving_now
    with _change:
        if _serving_now is server:
            _serving_now = None
            server.close()
