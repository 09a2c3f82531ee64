"""Waiting for something outside the run, such as a server.

A waiting run must not be treated as hung. Code that waits does so inside `waiting`, and the reporter that
shows the run to users is registered with `waits_shown_by`. If no reporter is registered, `waiting` does
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Show = Callable[[str], AbstractContextManager[None]]


def _nowhere(_: str) -> AbstractContextManager[None]:
    return nullcontext()


_show: Show = _nowhere


@contextmanager
def waiting(reason: str) -> Iterator[None]:
    """Show `reason` to users for the duration of the block. The time in the block doesn't count as time
    without progress."""
    with _show(reason):
        yield


@contextmanager
def waits_shown_by(show: Show) -> Iterator[None]:
    """Show every wait in this process with `show`, for the duration of the block."""
    global _show
    before, _show = _show, show
    try:
        yield
    finally:
        _show = before
