"""How often one may guess. Failures are counted, in the shared cache: logging in often is fine.

A guess is counted before it is judged, under a lock of the counter, and taken back when it was right: however
many guesses come at once, no more than the limit are ever tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from allauth.core.internal import ratelimit
from django.http import HttpRequest
from rest_framework.exceptions import Throttled

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Limit:
    name: str
    amount: int
    seconds: int
    key: str = ""
    """Empty: the address alone."""

    def use(self, request: HttpRequest) -> Any:
        """What can be taken back; None: the limit is reached."""
        per = "key" if self.key else "ip"
        rate = f"{self.amount}/{self.seconds}s/{per}"
        return ratelimit.consume(
            request, app="rankloop", action=self.name, config={self.name: rate}, key=self.key, limit_get=True
        )


def password_limits(request: HttpRequest, username: str) -> tuple[Limit, ...]:
    name = username.casefold()
    return (
        # One password on many accounts.
        Limit("login-address", 100, MINUTE),
        # One account from one address: nobody else is kept out by it.
        Limit("login-name", 10, MINUTE, f"{ratelimit.get_ip(request)} {name}"),
        # One account from many addresses. Reaching it keeps the owner out too, an hour at most.
        Limit("login-account", 100, HOUR, name),
    )


def code_limits(user_id: object) -> tuple[Limit, ...]:
    """Of a million codes three are right at a time; a day of guessing at this pace finds one in 2,000."""
    return (Limit("code-minute", 5, MINUTE, str(user_id)), Limit("code-hour", 20, HOUR, str(user_id)))


class Guess:
    right = False


@contextmanager
def guessing(
    request: HttpRequest, limits: tuple[Limit, ...], refusal: str = "Too many wrong log-ins."
) -> Iterator[Guess]:
    """One guess; set its `right` where it was. Raises Throttled when there were too many wrong ones."""
    used: list[Any] = []
    for limit in limits:
        usage = limit.use(request)
        if usage is None:
            for earlier in used:
                earlier.rollback()
            raise Throttled(wait=limit.seconds, detail=refusal)
        used.append(usage)
    guess = Guess()
    try:
        yield guess
    finally:
        if guess.right:
            for usage in used:
                usage.rollback()
