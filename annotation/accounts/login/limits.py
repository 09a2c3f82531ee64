"""Limits on password and code guesses, counted in the shared cache. Only failures count, so frequent logins
are not limited.

A guess is counted before it is checked, under the counter's lock, and the count is rolled back if the guess
was correct, so simultaneous guesses can't exceed the limit.
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
    """If empty, guesses are counted by address only."""

    def use(self, request: HttpRequest) -> Usage | None:
        """Counts one use of the limit. Returns the usage, which can be rolled back, or None if the limit is
        reached."""
        per = "key" if self.key else "ip"
        rate = f"{self.amount}/{self.seconds}s/{per}"
        return use_rate(request, name=self.name, rate=rate, key=self.key)


def password_limits(request: HttpRequest, username: str) -> tuple[Limit, ...]:
    name = username.casefold()
    return (
        # Limits attempts with one password on many accounts.
        Limit("login-address", 100, MINUTE),
        # Limits attempts on one account from one address. This limit locks out that address only.
        Limit("login-name", 10, MINUTE, f"{client_address(request)} {name}"),
        # Limits attempts on one account from many addresses. This limit also locks out the account's owner,
        # for an hour at most.
        Limit("login-account", 100, HOUR, name),
    )


def code_limits(user_id: object) -> tuple[Limit, ...]:
    """Three of the million possible codes are valid at any time, so a day of guessing at this rate succeeds
    with a probability of 1 in 700."""
    return (Limit("code-minute", 5, MINUTE, str(user_id)), Limit("code-hour", 20, HOUR, str(user_id)))


class Guess:
    right = False


@contextmanager
def guessing(
    request: HttpRequest, limits: tuple[Limit, ...], refusal: str = "Too many failed login attempts."
) -> Iterator[Guess]:
    """Counts one guess. The caller sets `right` if the guess was correct. Raises Throttled after too many
    wrong guesses."""
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
