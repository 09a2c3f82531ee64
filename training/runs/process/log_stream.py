"""A run's log on a full disk: the lines are lost, but the run continues.

Losing log lines is better than losing hours of training. The run might end before it needs more space, or an
operator might free space in the meantime. However, a run does end if a model or a checkpoint can't be
written.
"""

from __future__ import annotations

import sys
from typing import Any, TextIO, cast

from storage.space import FULL


def keep_running_without_log() -> None:
    """Make writes to standard output and standard error succeed even if the log's disk is full."""
    sys.stdout, sys.stderr = (cast(TextIO, _Dropping(stream)) for stream in (sys.stdout, sys.stderr))


class _Dropping:
    """A text stream that drops data if the disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            _refuse_others(error)
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            _refuse_others(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _refuse_others(error: OSError) -> None:
    if error.errno not in FULL:
        raise error
