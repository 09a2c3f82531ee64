"""The two ways in which a request to a generation server fails."""

from __future__ import annotations

from training.rlhf.core.failures import FailureKind, UnusableInput


class ServerTrouble(Exception):
    """Raised if the server can't be reached, is overloaded or has failed. The same request can succeed later.

    `busy` is true if the server is overloaded or starting, or if a proxy can't reach it. The request is then
    not the cause of the failure. `seconds` is the pause that the server requested; None if it requested none.
    """

    def __init__(self, message: str, *, busy: bool = False, seconds: float | None = None) -> None:
        super().__init__(message)
        self.busy, self.seconds = busy, seconds


class ServerUnusable(UnusableInput):
    """Raised if the server can't generate this run's answers, no matter how often a request is repeated."""

    kind = FailureKind.GENERATION_SERVER
