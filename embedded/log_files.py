"""Log files of child processes, written through pipes by a `log_writer` process."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedded import log_writer, processes

# At most 60 MB of logs are stored for each program of the stack, which is enough for weeks of normal work.
LIMIT_BYTES = 15 * 2**20
OLD_FILES = 3
# A pipe of this size can buffer 5,000 lines while the writer is restarted.
_PIPE_BYTES = 2**20
_END_SECONDS = 5.0


class LogFiles:
    """The logs of a set of child processes. `start` must be called before `open`."""

    def __init__(
        self, paths: Sequence[Path], *, limit: int = LIMIT_BYTES, old_files: int = OLD_FILES
    ) -> None:
        self._limit, self._old_files = limit, old_files
        # This process keeps both ends of each pipe open. If a writer is killed, a new writer can therefore
        # continue, and a child never writes to a pipe without a reader.
        self._pipes = {path: _pipe() for path in paths}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the writer, or replace a writer that has ended."""
        program = [sys.executable, "-I", "-S", log_writer.__file__, str(self._limit), str(self._old_files)]
        readers = {path: reader for path, (reader, _) in self._pipes.items()}
        self._process = processes.spawn(
            [*program, *(f"{reader}:{path}" for path, reader in readers.items())],
            log=None,
            death_signal=None,  # the writer ends when all processes that write to it have ended
            pass_fds=list(readers.values()),
        )
        return self._process

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None  # `start` was called
        return self._process

    def open(self, path: Path) -> BinaryIO:
        """Return the stream that a new child process writes its output to. The output goes to the log at
        `path`."""
        return os.fdopen(os.dup(self._pipes[path][1]), "wb", buffering=0)

    def close(self) -> None:
        """Wait until all output has been written. Call this after the child processes have ended."""
        self.release()
        self.wait()

    def release(self) -> None:
        """Close this process's ends of the pipes. The writer ends after the last child process."""
        for pipe in self._pipes.values():
            for end in pipe:
                os.close(end)
        self._pipes.clear()

    def wait(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:  # a stray process still has the pipe open
                self._process.kill()
                self._process.wait()


@contextmanager
def log_of_one(path: Path, *, limit: int, old_files: int = 1) -> Iterator[tuple[BinaryIO, LogFiles]]:
    """Yield an output stream for one child process, and the `LogFiles` behind this stream. The process must
    be started within the context. The log writer ends after the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = LogFiles([path], limit=limit, old_files=old_files)
    files.start()
    try:
        with files.open(path) as output:
            yield output, files
    except BaseException:
        files.close()
        raise
    files.release()


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return reader, writer
