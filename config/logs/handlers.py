"""Writes log lines to a file descriptor, without waiting long for a slow reader."""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
import time

_PATIENCE_SECONDS = 1.0
# A pipe that is ready accepts at least this many bytes (PIPE_BUF on Linux).
_READY_BYTES = 4096
# Access lines, except those of server errors, are collected for up to _DELAY_SECONDS and then formatted and
# written in another thread. Otherwise, the event loop would give up the interpreter lock for each line.
ACCESS = "rankloop.access"
_DELAY_SECONDS = 0.1
_MOST_DELAYED = 1000


class DescriptorHandler(logging.Handler):
    """If the output is a pipe whose reader hangs, a plain write blocks the whole process as soon as the
    pipe is full. This handler waits once, for one second, and then drops lines until the reader resumes
    reading. The next line states how many lines are missing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = _never_blocking(descriptor)
        self._is_own = self._descriptor != descriptor
        self._dropped = 0
        self._cut_off = False  # whether the last write ended in the middle of a line
        self._delayed: list[logging.LogRecord] = []
        self._wake = threading.Event()
        self._flusher: threading.Thread | None = None
        kind = os.fstat(descriptor).st_mode
        # Whether the output is a pipe, a socket or a terminal. Sockets and terminals stay blocking and are
        # polled before each write.
        waits = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or stat.S_ISCHR(kind)
        self._may_block = waits and os.get_blocking(self._descriptor)
        self._poll = select.poll()
        if waits:
            self._poll.register(self._descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        self._delayed.append(record)
        if record.name != ACCESS or record.levelno >= logging.WARNING or len(self._delayed) >= _MOST_DELAYED:
            self.flush()
        elif len(self._delayed) == 1:
            if self._flusher is None:
                self._flusher = threading.Thread(target=self._flush_forever, name="log", daemon=True)
                self._flusher.start()
            self._wake.set()

    def flush(self) -> None:
        self.acquire()
        try:
            records, self._delayed = self._delayed, []
            if records:
                self._write_records(records)
        finally:
            self.release()

    def close(self) -> None:
        self.flush()
        if self._is_own:
            os.close(self._descriptor)
            self._is_own = False
        super().close()

    def _flush_forever(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_DELAY_SECONDS)
            self._wake.clear()
            self.flush()

    def _write_records(self, records: list[logging.LogRecord]) -> None:
        try:
            text = "".join(f"{self.format(record)}\n" for record in records)
            if self._dropped:
                text = f"{self._missing()}\n{text}"
            if self._cut_off:
                text = f"\n{text}"
            written = self._write(text.encode("utf-8", "backslashreplace"))
        except OSError:
            written = False  # for example, the disk is full
        except Exception:
            self.handleError(records[-1])
            return
        self._dropped = 0 if written else self._dropped + len(records)

    def _missing(self) -> str:
        text = "%d log lines were dropped, because nothing read the log or the disk was full."
        notice = logging.LogRecord(
            __name__, logging.WARNING, __file__, 0, text, (self._dropped,), exc_info=None
        )
        return self.format(notice)

    def _write(self, data: bytes) -> bool:
        """Writes the data, and returns whether all of it was written. If the reader stops in the middle of a
        line, the rest of the line is lost."""
        left = data
        while left:
            if self._may_block and not self._is_ready():
                break
            try:
                left = left[os.write(self._descriptor, left[:_READY_BYTES] if self._may_block else left) :]
            except BlockingIOError:
                if not self._is_ready():
                    break
        self._cut_off = bool(left) and (self._cut_off or len(left) < len(data))
        return not left

    def _is_ready(self) -> bool:
        return bool(self._poll.poll(0.0 if self._dropped else _PATIENCE_SECONDS * 1000))


def _never_blocking(descriptor: int) -> int:
    """The same pipe, reopened in non-blocking mode. Setting O_NONBLOCK on the given descriptor would also
    change the standard output of other code and processes. With a blocking pipe, each line would need a
    second system call, for which the event loop would give up the interpreter lock again."""
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # the pipe belongs to another account
        return descriptor
