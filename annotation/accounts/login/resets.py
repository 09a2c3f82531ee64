"""Password reset links, which an administrator creates for a user who can't log in.

A link works once and expires after a day (PASSWORD_RESET_TIMEOUT). A link also stops working when the user
logs in or changes the password, because its signature covers the password and the time of the last login.
"""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.http import HttpRequest

from annotation.accounts.events import record_event
from annotation.accounts.login.limits import HOUR, MINUTE, Limit, guessing
from annotation.accounts.login.passwords import log_in_known, set_password
from annotation.database.acting import acting_as
from annotation.models import AccountEvent, User
from config.problems import Problem

SEPARATOR = "."
# Tokens can't be guessed. The limits stop clients from trying many tokens.
LIMITS = (Limit("reset-minute", 30, MINUTE), Limit("reset-hour", 200, HOUR))
_signer = PasswordResetTokenGenerator()


def create_reset_token(*, user: User) -> str:
    """The token of a reset link. Raises Problem if the user is deactivated."""
    if not user.is_active:
        raise Problem(f"The account {user.username} is deactivated, so nobody can log in to it.")
    record_event(user=user, kind=AccountEvent.Kind.RESET_LINK_CREATED)
    return f"{user.pk.hex}{SEPARATOR}{_signer.make_token(user)}"


def reset_password(*, request: HttpRequest, token: str, password: str) -> bool:
    """Sets the password, ends all sessions of the user and logs the user in. Returns False if a second-factor
    code is also required.

    A login with the link bypasses the limits on password guesses, because other people can exhaust these
    limits. Raises Problem if the link is no longer valid or the password is not accepted.
    """
    with guessing(request, LIMITS, "Too many attempts to use a reset link.") as guess:
        user = _use(token, password)
        guess.right = True
    return log_in_known(request=request, user=user, method="reset-link")


@transaction.atomic
def _use(token: str, password: str) -> User:
    id, _, signed = token.partition(SEPARATOR)
    try:
        # The lock makes a second request with the same link wait, and then fail.
        user = User.objects.select_for_update().filter(pk=UUID(hex=id), is_active=True).first()
    except ValueError:
        user = None
    if user is None or not _signer.check_token(user, signed):
        raise Problem(
            "This link is not valid. It has already been used, or it has expired. Ask an administrator for"
            " a new link.",
            status=HTTPStatus.GONE,
            type="reset-link-over",
        )
    with acting_as(f"user:{user.pk}"):
        set_password(user=user, new=password, field="password")
    return user
