"""Training processes, forked from a process that has already imported what they need (see `fork_server`)."""

from __future__ import annotations

import contextlib
import json
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
from training.runs.process.fork_server import ENVIRONMENT

_MAX_ANSWER = 1 << 10


class ServerGone(Exception):
    """The fork server ended, and what it had forked with it."""


def prepare(*, environment: Mapping[str, str]) -> None:
    """Return when a training process can be forked at once. Where none can, `start` will say so."""
    server = _serving(environment)
    try:
        server.ask({})
    except ServerGone:
        _forget(server)


def start(argv: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> Forked:
    """Runs `python -m training.runs.process.main` with these arguments in a session of its own.

    It is killed with this process; its output is appended to `log`. Raises ServerGone if the server is not
    available."""
    question = {"argv": list(argv), "environment": dict(environment)}
    with processes.open_log(log) as output:
        for _ in range(2):  # the one there is may just have found nothing to do and ended
            server = _serving(environment)
            try:
                return Forked(server, server.ask(question, [output.fileno()]))
            except (ServerGone, ProcessLookupError):
                _forget(server)
    raise ServerGone(
        "the process that training processes are forked from ends at once; its log is the worker's"
    )


class Forked:
    """A training process: the server's child, so it is watched by a handle and reaped by the server."""

    def __init__(self, server: _Server, pid: int) -> None:
        self._server = server
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGTERM)

    def has_ended(self, *, within_seconds: float) -> bool:
        """Without reaping it: until then its id, which is the group's, can't be given to someone else."""
        return bool(select.select([self._handle], [], [], within_seconds)[0])

    def kill_group(self) -> None:
        """The process and whatever it started: the group outlives its leader. Before the leader is reaped."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)  # it may not lead a group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """The exit code, or minus the signal that ended it. Only after it has ended: its server waits for it
        and forks no other meanwhile."""
        os.close(self._handle)
        try:
            return self._server.ask({"reap": self.pid})
        except ServerGone:
            return -signal.SIGKILL  # which is what the kernel sends when the server ends


class _Server:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._client, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # No death signal, which is tied to the thread that calls: it ends when the socket closes.
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
        with self._turn:
            try:
                socket.send_fds(self._client, [json.dumps(question).encode()], descriptors)
                answer = self._client.recv(_MAX_ANSWER)
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
