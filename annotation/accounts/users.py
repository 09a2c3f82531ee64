"""User accounts."""

from __future__ import annotations

import secrets

from django.db import IntegrityError, transaction

from annotation.models import User
from config.problems import Conflict, FieldProblem, refuse_invalid_fields

PASSWORD_BYTES = 12


def create_user(
    *, username: str, is_admin: bool = False, email: str = "", password: str | None = None
) -> tuple[User, str]:
    """Creates an account. Returns the account and its password, which is random by default. Raises Conflict
    if the name is taken, and Problem if the name is invalid."""
    password = password or secrets.token_urlsafe(PASSWORD_BYTES)
    user = User(username=username, email=email, is_staff=is_admin, is_superuser=is_admin)
    user.set_password(password)
    refuse_invalid_fields(user, exclude=["id"])
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            f"There is already a user {username}.",
            errors=[FieldProblem("username", "This name is taken. Choose a different one.")],
            type="user-exists",
        ) from None
    return user, password
