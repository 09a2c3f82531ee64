"""Signs of life from inner loops.

A training loop reports progress at every step, but one step can take long: a generation of many tokens, or a
pass over the whole training set. Inner loops therefore call `alive` once per iteration. A supervisor can then
distinguish a long step from a loop that hangs, without a reporter as a parameter of every function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listener: Callable[[], None] | None = None


def alive() -> None:
    """Say that the loop is still working. This takes less than a microsecond."""
    if _listener is not None:
        _listener()


@contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Let this process's signs of life call `listener`."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
