"""User accounts."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction

from annotation.models import User
from config.problems import Conflict, FieldProblem, refuse_invalid_fields

PASSWORD_BYTES = 12


class LastAdmin(Conflict):
    """Raised if a change would leave the site without an active admin."""


def create_user(
    *, username: str, is_admin: bool = False, email: str = "", password: str | None = None
) -> tuple[User, str]:
    """Creates an account. Returns the account and its password, which is random if `password` is None. Raises
    Conflict if the name is taken, and Problem if the name or the email address is invalid."""
    password = password or secrets.token_urlsafe(PASSWORD_BYTES)
    user = User(username=username, email=email, is_staff=is_admin, is_superuser=is_admin)
    user.set_password(password)
    refuse_invalid_fields(user, exclude=["id"])
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"A user named {username} already exists.",
            errors=[FieldProblem("username", "This name is taken. Choose a different name.")],
            type="user-exists",
        ) from None
    return user, password


@transaction.atomic
def set_active(*, user: User, active: bool) -> bool:
    """Deactivates or activates an account. Returns whether anything changed. A deactivated user is logged
    out, and the user's tokens are refused. Rankings and memberships are kept. Raises LastAdmin if the only
    active admin would be deactivated."""
    if not active:
        _refuse_last_admin(user)
    changed = User.objects.filter(pk=user.pk, is_active=not active).update(is_active=active)
    return bool(changed)


@transaction.atomic
def set_admin(*, user: User, admin: bool) -> bool:
    """Grants the user the site's admin role, or removes this role. Returns whether anything changed. Raises
    LastAdmin if the role would be removed from the only active admin."""
    if not admin:
        _refuse_last_admin(user)
    others = User.objects.filter(pk=user.pk, is_superuser=not admin)
    return bool(others.update(is_superuser=admin, is_staff=admin))


def _refuse_last_admin(user: User) -> None:
    # Locks the rows of all active admins, so that two simultaneous changes can't remove the last two admins.
    admins = set(
        User.objects.select_for_update()
        .filter(is_superuser=True, is_active=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    if admins == {user.pk}:
        raise LastAdmin(
            f"{user.username} is the only active admin. Make another user an admin first, with"
            " `manage.py set_user NAME --admin`."
        )
