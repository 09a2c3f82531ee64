"""API tokens that users create for themselves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.http import HttpRequest

from annotation.accounts import tokens
from annotation.accounts.login.second_factor import confirm_identity
from annotation.models import ApiToken, User


def create_own_token(
    *,
    request: HttpRequest,
    user: User,
    name: str,
    scopes: Iterable[str],
    password: str,
    code: str,
    expires_at: datetime | tokens.Default | None = tokens.DEFAULT,
) -> tuple[ApiToken, str]:
    """Creates a token after confirming the user's identity. Without the confirmation, a stranger at an
    unlocked screen could create a token and keep access after the session ends. Raises Problem if the user's
    identity can't be confirmed, or if the token's settings are invalid."""
    ends = tokens.default_expiry() if expires_at is tokens.DEFAULT else expires_at
    tokens.refuse_expiry(ends)
    confirm_identity(request=request, user=user, password=password, code=code)
    return tokens.create_token(user=user, name=name, scopes=scopes, expires_at=ends)
