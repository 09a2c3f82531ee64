"""Child processes that never outlive their parent.

The kernel's parent-death signal is the only mechanism that still works after `kill -9` of the parent. The
signal reaches only direct children and is tied to the *thread* that started them. Every process that starts
another process therefore sets the signal again: the supervisor for servers and workers, and the worker for
the training process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
_POLL_SECONDS = 0.01
_LOG_LIMIT_BYTES = 10 * 2**20

# Time for the log writer to write the last lines of a process that has ended.
_LOG_SECONDS = 0.3

OpenLog = Callable[[Path], BinaryIO]

_libc = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """Raised if the embedded stack can't start. The message states the reason and, where possible, the
    remedy."""


@dataclass(frozen=True)
class Account:
    """The account that a child runs as."""

    uid: int
    gid: int


def die_with_parent(sig: signal.Signals, *, parent: int) -> Callable[[], None]:
    """A `preexec_fn`: the child receives `sig` when the thread that started it ends, for whatever reason."""

    def in_child() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if _libc.prctl(_PR_SET_PDEATHSIG, int(sig), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # the parent died before prctl, so no signal will arrive
            os._exit(1)

    return in_child


def spawn(
    argv: Sequence[str | os.PathLike[str]],
    *,
    log: Path | None,
    death_signal: signal.Signals | None = signal.SIGKILL,
    account: Account | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    open_log: OpenLog | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C reaches only the parent.

    The child's output is appended to `log`, or goes to the parent's output if `log` is None. `open_log`
    replaces the plain file with another output. The calling thread must live at least as long as the
    child should live (see the module's docstring). A child that itself detects when its parent
    exits needs no `death_signal`.
    """
    output = None if log is None else (open_log or append_to)(log)
    try:
        return subprocess.Popen(
            [os.fspath(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            cwd=cwd,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=die_with_parent(death_signal, parent=os.getpid()) if death_signal else None,
        )
    finally:
        if output is not None:
            output.close()


def leave_first_processor(process: int) -> None:
    """Restrict the process, and the children that it starts from now on, to all processors except the first.
    On a machine with one processor, nothing changes."""
    _, *others = sorted(os.sched_getaffinity(process))
    if others:
        os.sched_setaffinity(process, others)


def append_to(log: Path) -> BinaryIO:
    """Open the log for appending. A log of more than 10 MiB is first renamed, and a new log is started. Used
    for processes that run only as long as a command; `log_files` limits the logs of processes that run for
    months."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".1.log"))
    return log.open("ab")


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """Send each signal in turn and wait up to the given number of seconds after each. If the process is
    still running after the last signal, kill it."""
    for sig, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(sig)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        process.kill()
        process.wait()


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], *, name: str, log: Path, seconds: float
) -> None:
    """Return once `ready()` is true. Raise ServerError with the end of the log if the process ends or time
    runs out."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ServerError(
                f"{name} ended while starting (status {process.returncode}). Its log, {log}, ends with:\n"
                + tail(log)
            )
        if time.monotonic() > deadline:
            raise ServerError(
                f"{name} was not ready after {seconds:.0f} s. Its log, {log}, ends with:\n{tail(log)}"
            )
        time.sleep(_POLL_SECONDS)


def wait_for_predecessor(pidfile: Path, *, command: str, seconds: float = 20.0) -> None:
    """Wait for the server that wrote `pidfile` to end.

    After a `kill -9` of the supervisor, its servers shut down on their own, which takes a moment. In the
    meantime, a new server must not start on the same files. A new Postgres server would fail, and a new
    Valkey server would share the append-only file with the old server.
    """
    deadline = time.monotonic() + seconds
    while (pid := _pid_in(pidfile)) is not None and _command_of(pid) == command:
        if time.monotonic() > deadline:
            raise ServerError(
                f"{command} (process {pid}) is still running and uses {pidfile.parent}; stop it first."
            )
        time.sleep(_POLL_SECONDS)


def tail(log: Path, lines: int = 15) -> str:
    time.sleep(_LOG_SECONDS)
    try:
        text = log.read_bytes()[-20_000:].decode("utf-8", "replace")
    except OSError as error:
        return f"(no log: {error.strerror})"
    return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])


def _pid_in(pidfile: Path) -> int | None:
    try:
        return int(pidfile.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _command_of(pid: int) -> str | None:
    """The kernel's short name for a live process, such as `postgres`. None if the process does not exist or
    is a zombie."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return None
    return None if rest.split()[0] in "ZX" else name
