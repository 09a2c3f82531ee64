"""Password login, password changes, and ending all sessions."""

from __future__ import annotations

from http import HTTPStatus

from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest

from annotation.accounts.login.allauth_internals import log_in_by, log_in_by_password
from annotation.accounts.login.limits import Limit, confirmation_limits, guessing, password_limits
from annotation.models import User
from config.problems import FieldProblem, Problem


def log_in(*, request: HttpRequest, username: str, password: str) -> bool:
    """Logs the user in and starts a new session. Returns False if the password is correct but a second-factor
    code is also required.

    Raises Problem if the name or the password is wrong, without revealing which; raises Throttled after too
    many attempts.
    """
    user = _checked(request, username, password, password_limits(request, username))
    if user is None:
        raise Problem(
            "The username or the password is wrong.",
            status=HTTPStatus.BAD_REQUEST,
            type="wrong-credentials",
        )
    log_in_by_password(request, user)
    return bool(request.user.is_authenticated)


def log_in_known(*, request: HttpRequest, user: User, method: str, **details: str) -> bool:
    """Like :func:`log_in`, but for a user authenticated by `method` instead of a password."""
    log_in_by(request, user, method, **details)
    return bool(request.user.is_authenticated)


def _checked(request: HttpRequest, username: str, password: str, limits: tuple[Limit, ...]) -> User | None:
    with guessing(request, limits) as guess:
        user = authenticate(request, username=username, password=password)
        guess.right = isinstance(user, User)
    return user if isinstance(user, User) else None


def confirm_password(*, request: HttpRequest, user: User, password: str, field: str = "password") -> None:
    """Checks the user's password before a sensitive change. A stranger at an unlocked screen must not be able
    to make such a change. Raises Problem if the password is wrong. Accounts without a password, which log in
    through a provider, need no confirmation."""
    limits = confirmation_limits(user.pk)
    if user.has_usable_password() and _checked(request, user.username, password, limits) is None:
        raise Problem("The password is wrong.", errors=[FieldProblem(field, "This is not your password.")])


def change_password(*, request: HttpRequest, user: User, current: str, new: str) -> None:
    """Sets the new password, ends every other session and revokes all API tokens. Raises Problem if `current`
    is wrong or `new` is not accepted."""
    confirm_password(request=request, user=user, password=current, field="current")
    set_password(user=user, new=new, field="new")
    update_session_auth_hash(request, user)


def set_password(*, user: User, new: str, field: str) -> None:
    """Sets the new password and thereby ends all sessions. If the password is not accepted, raises Problem
    with the reasons under the name `field`."""
    try:
        validate_password(new, user)
    except ValidationError as error:
        reasons = [FieldProblem(field, reason) for reason in error.messages]
        raise Problem("The new password is not accepted.", errors=reasons) from None
    user.set_password(new)
    with transaction.atomic():
        user.save(update_fields=["password"])


def end_sessions(*, user: User) -> None:
    """Logs the user out everywhere, by changing a number that is part of each session's signature."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
