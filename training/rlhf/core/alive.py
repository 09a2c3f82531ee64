"""Let inner loops signal that they are still working, and report how much of a long step is done.

A training loop reports progress at every step, but one step can take a long time, for example if it generates
many tokens or processes the whole training set. Inner loops therefore call `alive` once per iteration. A
supervisor can then distinguish a long step from a loop that hangs. Inner loops also call `counted` for
finished parts, so that a run's page shows the progress within the step. Because both are module-level
functions, inner functions don't need a reporter as a parameter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# The interval between two reports of the progress within a step. A shorter interval would not make a run's
# page more useful, and every report adds a row to the database.
TELL_SECONDS = 2.0

_listener: Callable[[], None] | None = None


def alive() -> None:
    """Signal that the loop is still working. The call takes less than a microsecond."""
    if _listener is not None:
        _listener()


def listener() -> Callable[[], None] | None:
    return _listener


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` whenever `alive` is called in this process, for the duration of the block."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@dataclass
class _Count:
    total: int
    what: str
    done: int = 0
    told_at: float = field(default_factory=lambda: time.monotonic())

    def add(self, number: int) -> None:
        self.done = min(self.done + number, self.total)
        if _tell is not None and time.monotonic() - self.told_at >= TELL_SECONDS:
            self.told_at = time.monotonic()
            _tell(f"{self.done} of {self.total} {self.what}")


_tell: Callable[[str], None] | None = None
_count: _Count | None = None


@contextmanager
def told_by(tell: Callable[[str], None]) -> Iterator[None]:
    """Call `tell` with the progress within a long step, such as `12 of 64 answers scored`, at most once every
    TELL_SECONDS."""
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


@contextmanager
def counting(total: int, what: str) -> Iterator[None]:
    """Inside the block, `counted` counts up to `total`. `what` names the parts in the plural, such as
    `answers scored`."""
    global _count
    before, _count = _count, _Count(total, what)
    try:
        yield
    finally:
        _count = before


def counted(number: int) -> None:
    """Signal that an inner loop has finished this number of parts."""
    if _count is not None:
        _count.add(number)


def counted_parts() -> int:
    """Return the number of parts that have been counted so far."""
    return 0 if _count is None else _count.done


def count_again(done: int) -> None:
    """Continue counting from an earlier number, because the parts after this number are computed again."""
    if _count is not None:
        _count.done = done
