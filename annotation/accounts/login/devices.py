"""Known devices: browsers in which a user has logged in to an account before.

A login stores a signed cookie in the browser. The cookie grants no access. Failed logins on a known device
are counted separately, so that nobody can lock an account's owner out by guessing the password on other
devices.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from annotation.models import User

COOKIE = "known-device"
COOKIE_PATH = "/api/v1/"
# The cookie is renewed at each login. It names the MAX_ACCOUNTS accounts with the most recent logins.
COOKIE_SECONDS = 180 * 24 * 3600
MAX_ACCOUNTS = 5
_SALT = "rankloop known device"


def known_device(request: HttpRequest, username: str) -> str | None:
    """The browser's ID if the user has logged in with this browser before, otherwise None."""
    device, accounts = _read(request)
    return device if _account(username) in accounts else None


def _account(username: str) -> str:
    return hashlib.sha256(username.casefold().encode()).hexdigest()[:16]


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        device, accounts = signing.loads(request.COOKIES[COOKIE], salt=_SALT, max_age=COOKIE_SECONDS)
        return str(device), [str(account) for account in accounts]
    except (KeyError, ValueError, TypeError, signing.BadSignature):
        return secrets.token_hex(16), []


def note_login(sender: object, request: HttpRequest | None, user: User, **_: Any) -> None:
    """Records the username on the request. Django sends the signal `user_logged_in` after any kind of
    login."""
    if request is not None:
        request.logged_in_as = user.username  # type: ignore[attr-defined]


def remember_device(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware that stores the cookie when a request has logged a user in."""
    user_logged_in.connect(note_login, dispatch_uid="annotation.accounts.login.devices")

    def answer(request: HttpRequest) -> Any:
        response: HttpResponseBase = get_response(request)
        if (username := getattr(request, "logged_in_as", None)) is not None:
            device, accounts = _read(request)
            mine = _account(username)
            known = [mine, *(each for each in accounts if each != mine)][:MAX_ACCOUNTS]
            response.set_cookie(
                COOKIE,
                signing.dumps([device, known], salt=_SALT),
                max_age=COOKIE_SECONDS,
                path=COOKIE_PATH,
                httponly=True,
                secure=settings.SESSION_COOKIE_SECURE,
                samesite="Lax",
            )
        return response

    return answer
