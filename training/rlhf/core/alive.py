"""A heartbeat for inner loops.

A training loop reports progress at every step, but one step can take a long time, for example to generate
many tokens or to process the whole training set. Inner loops therefore call `alive` once per iteration. A
supervisor can then distinguish a long step from a loop that hangs, and inner functions don't need a reporter
as a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
