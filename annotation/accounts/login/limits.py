"""Limits on password and code guesses, counted in the shared cache. Only failures count, so frequent logins
are not limited.

Each guess is counted before it is checked. The counter is locked while a guess is counted, so simultaneous
guesses can't exceed the limit. If a guess was correct, its count is rolled back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.exceptions import Throttled

from annotation.accounts.login.allauth_internals import Usage, client_address, use_rate
from annotation.accounts.login.devices import known_device
from annotation.models import User

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
OPEN_SECONDS = HOUR


@dataclass(frozen=True)
class Limit:
    name: str
    amount: int
    seconds: int
    key: str = ""
    """Guesses are counted separately for each key, such as a username. If the key is empty, guesses are
    counted per client address."""

    def use(self, request: HttpRequest) -> Usage | None:
        """Counts one attempt against the limit. Returns None if the limit has been reached, and otherwise an
        object that can roll the count back."""
        per = "key" if self.key else "ip"
        rate = f"{self.amount}/{self.seconds}s/{per}"
        return use_rate(request, name=self.name, rate=rate, key=self.key)


def _growing(name: str, key: str) -> tuple[Limit, ...]:
    """Limits per minute, hour and day, so the delay grows as wrong guesses continue. The limit with the
    longest delay comes first, so that the refusal states the longest delay if several limits have been
    reached."""
    return (
        Limit(f"{name}-day", 60, DAY, key),
        Limit(f"{name}-hour", 30, HOUR, key),
        Limit(f"{name}-minute", 10, MINUTE, key),
    )


def password_limits(request: HttpRequest, username: str) -> tuple[Limit, ...]:
    """Limits on password guesses at login (docs/accounts.md lists the numbers)."""
    name = username.casefold()
    device = known_device(request, name)
    if device is not None:
        # No other limit applies on a known device. Otherwise, guesses made on other devices could lock the
        # owner out.
        return _growing("login-device", f"{device} {name}")
    address = client_address(request)
    limits = (
        # When one of these limits is reached, only this address is locked out of the account.
        *_growing("login-name", f"{address} {name}"),
        # Limits the attempts from one address across all accounts, for example if somebody tries one common
        # password on many accounts.
        Limit("login-address", 100, MINUTE),
    )
    if cache.get(_open_key(name)):
        return limits
    # The last two limits count guesses from all addresses. When one of them is reached, new devices are
    # locked out.
    return (*limits, Limit("login-account-day", 300, DAY, name), Limit("login-account-hour", 100, HOUR, name))


def open_to_new_devices(username: str) -> None:
    """Suspends, for an hour after a password change, the limits that count guesses from all addresses. If the
    owner resets the password during an attack, they can then log in on a new device, which becomes a known
    device."""
    cache.set(_open_key(username.casefold()), True, timeout=OPEN_SECONDS)


def _open_key(name: str) -> str:
    return f"login-open:{hashlib.sha256(name.encode()).hexdigest()}"


def confirmation_limits(user_id: object) -> tuple[Limit, ...]:
    """Limits on guesses of the password that a logged-in user enters to confirm a change."""
    return _growing("confirm", str(user_id))


def code_limits(request: HttpRequest, user: User) -> tuple[Limit, ...]:
    """Limits on code guesses. Three of the million possible codes are valid at any time. A day of guessing at
    the hourly limit therefore succeeds with a probability of about 1 in 700. Guesses on a known device are
    counted separately, so a stranger who knows the password can't use them up."""
    key = " ".join(filter(None, (str(user.pk), known_device(request, user.username))))
    return (Limit("code-minute", 5, MINUTE, key), Limit("code-hour", 20, HOUR, key))


class Guess:
    right = False


@contextmanager
def guessing(
    request: HttpRequest, limits: tuple[Limit, ...], refusal: str = "Too many failed attempts."
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
