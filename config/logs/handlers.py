"""Writes log lines to a file descriptor, without ever waiting long for its reader."""

from __future__ import annotations

import logging
import os
import select
import stat

_PATIENCE_SECONDS = 1.0
# A pipe that is ready accepts at least this many bytes (PIPE_BUF on Linux).
_READY_BYTES = 4096


class DescriptorHandler(logging.Handler):
    """If the output is a pipe whose reader hangs, a plain write would stop the whole process as soon as the
    pipe is full. This handler waits once for a second and then drops lines until the reader continues. The
    next line says how many lines are missing."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._dropped = 0
        self._poll: select.poll | None = None
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or stat.S_ISCHR(kind):
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if self._dropped:
                line = f"{self._missing(record)}\n{line}"
            written = self._write(line.encode("utf-8", "backslashreplace"))
        except OSError:
            written = False  # for example, the disk is full
        except Exception:
            self.handleError(record)
            return
        self._dropped = 0 if written else self._dropped + 1

    def _missing(self, record: logging.LogRecord) -> str:
        text = "%d log lines were dropped, because nothing read the log or the disk was full."
        notice = logging.LogRecord(
            __name__, logging.WARNING, __file__, 0, text, (self._dropped,), exc_info=None
        )
        return self.format(notice)

    def _write(self, data: bytes) -> bool:
        """Whether all data was written. Data is cut off only if the reader stops in the middle of a line."""
        if self._poll is None:
            os.write(self._descriptor, data)
            return True
        for start in range(0, len(data), _READY_BYTES):
            patience = 0.0 if self._dropped else _PATIENCE_SECONDS
            if not self._poll.poll(patience * 1000):
                return False
            os.write(self._descriptor, data[start : start + _READY_BYTES])
        return True
