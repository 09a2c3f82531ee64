"""Log in by password, change it, and end every session."""

from __future__ import annotations

from http import HTTPStatus

from allauth.account.internal.flows.login import perform_login, perform_password_login, record_authentication
from allauth.account.models import Login
from django.contrib.auth import authenticate, update_session_auth_hash
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest

from annotation.accounts.login.limits import guessing, password_limits
from annotation.models import User
from config.problems import FieldProblem, Problem

NO_MAIL = "none"  # no address is verified by mail: accounts are made by those who run the site


def log_in(*, request: HttpRequest, username: str, password: str) -> bool:
    """True: logged in, in a new session. False: the password is right, and the second factor is to come.

    Raises Problem for a wrong name or password (they look the same), Throttled after too many.
    """
    user = _checked(request, username, password)
    if user is None:
        raise Problem(
            "The user name or the password is wrong.",
            status=HTTPStatus.BAD_REQUEST,
            type="wrong-credentials",
        )
    login = Login(user=user, email_verification=NO_MAIL)
    perform_password_login(request, {"username": user.username}, login)
    return bool(request.user.is_authenticated)


def log_in_known(*, request: HttpRequest, user: User, method: str, **said: str) -> bool:
    """As :func:`log_in`, of somebody whom another method than a password has shown to be `user`."""
    record_authentication(request, user, method=method, **said)
    perform_login(request, Login(user=user, email_verification=NO_MAIL))
    return bool(request.user.is_authenticated)


def _checked(request: HttpRequest, username: str, password: str) -> User | None:
    with guessing(request, password_limits(request, username)) as guess:
        user = authenticate(request, username=username, password=password)
        guess.right = isinstance(user, User)
    return user if isinstance(user, User) else None


def confirm_password(*, request: HttpRequest, user: User, password: str, field: str = "password") -> None:
    """Before a change that somebody at an unlocked screen should not make. Accounts that log in elsewhere
    have no password to ask for."""
    if user.has_usable_password() and _checked(request, user.username, password) is None:
        raise Problem("The password is wrong.", errors=[FieldProblem(field, "This is not your password.")])


def change_password(*, request: HttpRequest, user: User, current: str, new: str) -> None:
    """The new password holds from now on; every other session ends."""
    confirm_password(request=request, user=user, password=current, field="current")
    try:
        validate_password(new, user)
    except ValidationError as error:
        reasons = [FieldProblem("new", reason) for reason in error.messages]
        raise Problem("The new password won't do.", errors=reasons) from None
    user.set_password(new)
    user.save(update_fields=["password"])
    update_session_auth_hash(request, user)


def end_sessions(*, user: User) -> None:
    """Logs the user out everywhere: each session carries this number in its signature."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
