"""The arrival time of the current request. A heavy request can wait for minutes before its process starts."""

from __future__ import annotations

import time
from contextvars import ContextVar

_arrived: ContextVar[float | None] = ContextVar("arrived", default=None)


def set_arrival(seconds: float) -> None:
    """Sets the arrival time of this context's request, in seconds of `time.monotonic`. All processes of a
    machine share this clock."""
    _arrived.set(seconds)


def seconds_since_arrival() -> float:
    """The seconds since the request arrived; 0 if no arrival time was set."""
    arrived = _arrived.get()
    return 0.0 if arrived is None else time.monotonic() - arrived
