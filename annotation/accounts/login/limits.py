"""Limits on password and code guesses, counted in the shared cache. Only failures count, so frequent logins
are not limited.

Each guess is counted before it is checked. The counter is locked while a guess is counted, so simultaneous
guesses can't exceed the limit. If a guess was correct, its count is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.http import HttpRequest
from rest_framework.exceptions import Throttled

from annotation.accounts.login.allauth_internals import Usage, client_address, use_rate

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Limit:
    name: str
    amount: int
    seconds: int
    key: str = ""
    """Guesses are counted separately for each key, for example a username. If the key is empty, guesses are
    counted per client address."""

    def use(self, request: HttpRequest) -> Usage | None:
        """Counts one use of the limit. Returns the usage, which can be rolled back, or None if the limit is
        reached."""
        per = "key" if self.key else "ip"
        rate = f"{self.amount}/{self.seconds}s/{per}"
        return use_rate(request, name=self.name, rate=rate, key=self.key)


def password_limits(request: HttpRequest, username: str) -> tuple[Limit, ...]:
    name = username.casefold()
    return (
        # Limits the attempts from one address across all accounts, for example if somebody tries one common
        # password on many accounts.
        Limit("login-address", 100, MINUTE),
        # Limits attempts on one account from one address. When the limit is reached, only the guessing
        # address is locked out.
        Limit("login-name", 10, MINUTE, f"{client_address(request)} {name}"),
        # Limits attempts on one account from many addresses. When the limit is reached,
        # the account's owner is locked out too, for an hour at most.
        Limit("login-account", 100, HOUR, name),
    )


def code_limits(user_id: object) -> tuple[Limit, ...]:
    """Limits on code guesses. Three of the million possible codes are valid at any time. A day of guessing at
    the hourly limit therefore succeeds with a probability of about 1 in 700."""
    return (Limit("code-minute", 5, MINUTE, str(user_id)), Limit("code-hour", 20, HOUR, str(user_id)))


class Guess:
    right = False


@contextmanager
def guessing(
    request: HttpRequest, limits: tuple[Limit, ...], refusal: str = "Too many failed login attempts."
) -> Iterator[Guess]:
    """Counts one guess. The caller sets `right` of the yielded object to True if the guess was correct.
    Raises Throttled after too many wrong guesses."""
    used: list[Usage] = []
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
