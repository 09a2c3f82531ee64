"""As long as the previous key is in SECRET_KEY_FALLBACKS, sessions survive a change of SECRET_KEY. If a
session can't be stored, the response states the cause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends import db
from django.contrib.sessions.backends.base import UpdateError
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from annotation.database.acting import ANONYMOUS, acting_as
from annotation.models import User


class SessionStore(db.SessionStore):
    """Django's database store with two changes: a failed update raises the database's error, and the
    session's key does not change within `keeping_cookie`.

    If a session is signed with a fallback SECRET_KEY, Django signs the session again with the current
    SECRET_KEY. It also replaces the session's key, and with it the cookie. If a page sends several requests
    at once, all requests but the first then have an invalid cookie, and the user is logged out.
    `keeping_cookie` prevents this.
    """

    _keeps_cookie = False

    @contextmanager
    def keeping_cookie(self) -> Iterator[None]:
        self._keeps_cookie = True
        try:
            yield
        finally:
            self._keeps_cookie = False

    def save(self, must_create: bool = False) -> None:
        try:
            super().save(must_create)
        except UpdateError as error:
            # Django raises the same error, and responds with 400, whether the session was deleted or the
            # database failed. If the error's cause comes from the driver, the database failed, for example
            # because its disk is full.
            failure = error.__context__
            if isinstance(failure, DatabaseError) and failure.__cause__ is not None:
                raise failure from failure.__cause__
            raise

    def cycle_key(self) -> None:
        if not self._keeps_cookie:
            super().cycle_key()


class SessionUser(AuthenticationMiddleware):
    """Sets `request.user`. Loading the user can write the session, and every write reads the current actor.
    The actor is therefore anonymous while the user is being loaded. Otherwise, reading the actor would load
    the user again, in an infinite recursion."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(partial(_user_of, request))  # type: ignore[assignment]


def _user_of(request: HttpRequest) -> User | AnonymousUser:
    session = request.session
    assert isinstance(session, SessionStore)
    with acting_as(ANONYMOUS), session.keeping_cookie():
        return get_user(request)
