"""The processes of one run. The first process forks the others before it loads Django.

Only the first process uses the database and sends reports. Through a pipe, it sends the other processes the
function to call, with plain arguments. All processes call the function in one `torch.distributed` process
group. The other processes are killed when the first process ends. If a signal kills one of them, the first
process kills itself with the same signal (`end_like`). The supervisor then resumes the run like any run whose
process was killed.

This module does not import torch, because the first process sends heartbeats before it imports torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from embedded.processes import die_with_parent
from training.rlhf.core.failures import FailureKind, RunFailure, is_device_error
from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter, Reporter

CHECK_EVERY = 0.25  # seconds between two checks that the other processes are alive
# Maximum wait for the reason why a process was lost. A process that dumps core takes the longest to end.
REASON_SECONDS = 5.0
END_SECONDS = 5.0
READY = True  # sent by another process when it has received a call
# All processes run on one machine, so they need no network interface except loopback.
LOCAL = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}

Result = TypeVar("Result")
logger = logging.getLogger("training.runs.process")


class PeerKilled(Exception):
    """Raised in the first process if a signal has ended another process of the run."""

    def __init__(self, number: int, count: int, signum: int) -> None:
        super().__init__(f"process {number} of {count} was killed ({signal.Signals(signum).name})")
        self.signum = signum


class PeerFailed(Exception):
    """Raised in the first process if another process of the run has failed without a failure kind."""


class Call(NamedTuple):
    function: Callable[..., object]
    arguments: Mapping[str, Any]
    meeting: str
    threads: int


class Answer(NamedTuple):
    """The response of another process to a call. `error` is the name of that process's exception, if any.
    `kind` is set if the exception is a RunFailure or reports that the process can't use its GPU."""

    error: str = ""
    message: str = ""
    kind: FailureKind | None = None


@dataclass
class Peer:
    """One of the other processes, which is a child of this process."""

    number: int
    pid: int
    pipe: Connection
    handle: int
    ready: bool = False
    answer: Answer | None = None

    def has_ended(self) -> bool:
        return bool(select.select([self.handle], [], [], 0)[0])


@dataclass
class Group:
    """The processes of a run, as the first process sees them."""

    peers: list[Peer] = field(default_factory=list)
    _calls: int = 0
    _checked_at: float = 0.0

    @property
    def count(self) -> int:
        return 1 + len(self.peers)

    def call(
        self, function: Callable[..., Result], *, report: Reporter, folder: Path, **arguments: Any
    ) -> Result:
        """Call the function in all processes, in one `torch.distributed` process group, and return the first
        process's result.

        Only the first process gets `report`. The function and the other arguments are pickled. A temporary
        file is created in `folder`. Raises PeerKilled and PeerFailed, and the RunFailure of another process.
        """
        if not self.peers:
            return function(report=report, **arguments)
        import torch

        from training.rlhf.core.alive import heard_by, listener
        from training.rlhf.core.checkpoint import CheckpointRefused
        from training.rlhf.core.distributed import Place, ProcessLost, process_group, require_devices

        outer = listener() or (lambda: None)

        def listen() -> None:
            outer()
            self.check()

        require_devices(self.count)
        self._calls += 1
        meeting = str(folder / f"processes-{self._calls}")
        for peer in self.peers:
            peer.ready = False
            peer.pipe.send(Call(function, arguments, meeting, torch.get_num_threads()))
        try:
            self._wait_until_ready()
            with heard_by(listen), process_group(Place(meeting, 0, self.count)):
                return function(report=_Watching(report, self), **arguments)
        except CheckpointRefused:  # the other processes refuse the same checkpoints
            raise
        except ProcessLost:
            self._raise_reason()
            raise
        except BaseException:
            self.close()
            raise
        finally:
            Path(meeting).unlink(missing_ok=True)

    def check(self) -> None:
        """Raise PeerKilled, PeerFailed or a RunFailure if another process has ended or failed. Within
        CHECK_EVERY seconds after a check, further calls do nothing, so this method can be called often."""
        if time.monotonic() - self._checked_at < CHECK_EVERY:
            return
        self._checked_at = time.monotonic()
        for peer in self.peers:
            self._check(peer)

    def close(self) -> None:
        """End the other processes and reap them."""
        for peer in self.peers:
            peer.pipe.close()  # makes a process that is waiting for a call exit
        ends = time.monotonic() + END_SECONDS
        for peer in self.peers:
            finished = peer.answer is not None and not peer.answer.error
            if not (finished and select.select([peer.handle], [], [], max(0.0, ends - time.monotonic()))[0]):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(peer.handle, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(peer.pid, 0)
            os.close(peer.handle)
        self.peers = []

    def _wait_until_ready(self) -> None:
        """Wait until the other processes have received the call, so that an answer to an earlier call is not
        taken for an answer to this one."""
        while not all(peer.ready for peer in self.peers):
            time.sleep(0.005)
            for peer in self.peers:
                self._check(peer)
                if peer.has_ended():
                    raise PeerFailed(
                        f"process {peer.number} of {self.count} ended before it joined the others"
                    )

    def _check(self, peer: Peer) -> None:
        try:
            while peer.pipe.poll():
                got = peer.pipe.recv()
                peer.ready, peer.answer = (True, None) if got is READY else (peer.ready, got)
        except (EOFError, ConnectionError):
            if not peer.has_ended():
                return
        if peer.answer is not None and peer.answer.error not in {"", "ProcessLost", "Cancelled"}:
            message = f"process {peer.number} of {self.count}: {peer.answer.error}: {peer.answer.message}"
            if peer.answer.kind is not None:
                raise RunFailure(message, peer.answer.kind)
            raise PeerFailed(message)
        if peer.has_ended():
            end = os.waitid(os.P_PID, peer.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if end is not None and end.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
                raise PeerKilled(peer.number, self.count, end.si_status)

    def _raise_reason(self) -> None:
        """Raise the exception that states why a process was lost. Return if no reason becomes known within
        REASON_SECONDS."""
        ends = time.monotonic() + REASON_SECONDS
        while time.monotonic() < ends:
            for peer in self.peers:
                self._check(peer)
            time.sleep(0.01)


def end_like(killed: PeerKilled) -> None:
    """Kill this process with the signal that ended another process of its run."""
    sys.stdout.flush()
    sys.stderr.flush()
    if killed.signum != signal.SIGKILL:
        signal.signal(killed.signum, signal.SIG_DFL)
    os.kill(os.getpid(), killed.signum)


def gpu_count() -> int:
    """Return the number of this machine's GPUs, or 1 if it has none."""
    import torch

    return max(1, torch.cuda.device_count())  # counts through NVML, so CUDA still works in forked processes


def start(count: int) -> Group:
    """Fork the other processes of a run. Call this before the process starts threads or opens connections."""
    if count > 1:
        os.environ.update(LOCAL)
    group, me = Group(), os.getpid()
    for rank in range(1, count):
        ours, theirs = Pipe()
        pid = os.fork()
        if pid:
            theirs.close()
            group.peers.append(Peer(rank + 1, pid, ours, os.pidfd_open(pid)))
            continue
        code = 1
        try:
            die_with_parent(signal.SIGKILL, parent=me)()
            ours.close()
            for peer in group.peers:  # a process ends only when all copies of its pipe are closed
                peer.pipe.close()
            with contextlib.suppress(OSError), open("/proc/self/comm", "r+") as name:
                before = name.read().strip()
                name.seek(0)
                name.write(f"{before}.{rank + 1}")
            code = _serve(theirs, rank, count)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return group


def _serve(pipe: Connection, rank: int, count: int) -> int:
    """Execute the calls that the first process sends, until it closes the pipe or a call fails."""
    while True:
        try:
            call: Call = pipe.recv()
        except EOFError:
            return 0
        answer = _execute(call, pipe, rank, count)
        with contextlib.suppress(OSError):
            pipe.send(answer)
        sys.stdout.flush()
        sys.stderr.flush()
        if answer.error:
            return 1


def _execute(call: Call, pipe: Connection, rank: int, count: int) -> Answer:
    import torch
    from transformers.utils.logging import disable_progress_bar

    from training.rlhf.core.checkpoint import CheckpointRefused
    from training.rlhf.core.distributed import Place, ProcessLost, process_group

    disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.set_num_threads(call.threads)
    pipe.send(READY)
    try:
        with process_group(Place(call.meeting, rank, count)):
            call.function(report=NullReporter(), **call.arguments)
    except CheckpointRefused:
        return Answer()
    except Exception as error:
        if not isinstance(error, ProcessLost):
            traceback.print_exc()
        kind = error.kind if isinstance(error, RunFailure) else None
        if is_device_error(error):
            kind = FailureKind.DEVICE_LOST
        return Answer(type(error).__name__, str(error), kind)
    return Answer()


class _Watching:
    """A reporter whose `check` also notices that another process has ended."""

    def __init__(self, report: Reporter, group: Group) -> None:
        self._report, self._group = report, group

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._report.metrics(step, values)

    def sample(
        self, step: int, *, messages: Messages, before: str, after: str, scores: Mapping[str, float]
    ) -> None:
        self._report.sample(step, messages=messages, before=before, after=after, scores=scores)

    def progress(self, phase: str, step: int, total: int) -> None:
        self._report.progress(phase, step, total)

    def flush(self) -> None:
        self._report.flush()

    def checkpoint(self, step: int) -> None:
        self._report.checkpoint(step)

    def check(self) -> None:
        self._report.check()
        self._group.check()
