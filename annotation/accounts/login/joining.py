"""Accepting an invitation in a browser, with a new account or while logged in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import HttpRequest

from annotation.accounts import invitations
from annotation.accounts.login import passwords
from annotation.accounts.login.limits import HOUR, MINUTE, Limit, guessing
from annotation.models import Invitation, Membership, User

# Tokens can't be guessed. The limits stop clients from trying many tokens. They also stop a client with a
# valid token from testing many usernames to find out which are taken.
LIMITS = (Limit("invitation-minute", 30, MINUTE), Limit("invitation-hour", 200, HOUR))


@contextmanager
def _trying(request: HttpRequest) -> Iterator[None]:
    with guessing(request, LIMITS, "Too many attempts to use an invitation.") as guess:
        yield
        guess.right = True


def look(*, request: HttpRequest, token: str) -> Invitation:
    """Returns the invitation. Raises Problem with the reason if the invitation can no longer be accepted."""
    with _trying(request):
        return invitations.standing(token=token)


def enter(*, request: HttpRequest, token: str, username: str, password: str) -> User:
    """Creates an account, adds it to the invitation's project and logs the user in."""
    with _trying(request):
        member = invitations.accept_with_new_account(token=token, username=username, password=password)
    passwords.log_in(request=request, username=member.user.username, password=password)
    return member.user


def join(*, request: HttpRequest, user: User, token: str) -> Membership:
    with _trying(request):
        return invitations.accept(token=token, user=user)
