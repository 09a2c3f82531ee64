"""Personal API tokens. The database stores digests, so a leaked copy of the database grants no access."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from annotation.database.rows import Columns
from annotation.models import ApiToken, User
from annotation.models.people import Scope
from config.problems import FieldProblem, Problem

TOKEN_BYTES = 32
PREFIX_CHARACTERS = 8
# Minimum time between two updates of `last_used_at`, which is only informational. Writing the time on each
# request would take longer than handling most requests.
LAST_USED_STEP = timedelta(minutes=1)
DEFAULT_LIFE = timedelta(days=90)
# Browser and server clocks differ: one year from now by a browser's clock can be more than a year away by the
# server's clock.
CLOCK_STEP = timedelta(days=1)


class Default(Enum):
    EXPIRY = "the default expiry date"


DEFAULT: Final = Default.EXPIRY

_TOKEN, _USER = Columns(ApiToken, "k"), Columns(User, "u")
# The query is equivalent to `ApiToken.objects.live()` joined with the user. Handwritten SQL is faster, and
# every request with a token starts with this query.
_HOLDER = f"""
SELECT {_TOKEN.sql}, {_USER.sql} FROM annotation_apitoken k JOIN annotation_user u ON u.id = k.user_id
 WHERE k.digest = %(digest)s AND k.revoked_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > %(now)s) AND u.is_active
"""


def digest_of(token: str) -> str:
    # The hash is unsalted and fast on purpose: a token of 256 random bits can't be guessed.
    return hashlib.sha256(token.encode()).hexdigest()


def create_token(
    *,
    user: User,
    name: str,
    scopes: Iterable[str] = tuple(Scope),
    expires_at: datetime | Default | None = DEFAULT,
) -> tuple[ApiToken, str]:
    """Creates a token. Returns the token and its text; the text can't be retrieved later. `scopes` defaults
    to all scopes, and `expires_at` to 90 days from now (or less, if TOKEN_MAX_DAYS is less). A token with
    `expires_at=None` never expires.

    Raises Problem if `scopes` is empty or contains an unknown scope, or if the expiry is in the past.
    """
    chosen = sorted({str(scope) for scope in scopes})
    if unknown := sorted(set(chosen) - set(Scope.values)):
        raise Problem(
            f"There is no scope {unknown[0]!r}.",
            errors=[FieldProblem("scopes", f"Choose from {', '.join(Scope.values)}.")],
        )
    if not chosen:
        raise Problem("A token needs a scope.", errors=[FieldProblem("scopes", "Name at least one scope.")])
    if expires_at is DEFAULT:
        expires_at = default_expiry()
    _refuse_past(expires_at)
    text = f"rl_{secrets.token_urlsafe(TOKEN_BYTES)}"
    row = ApiToken.objects.create(
        user=user,
        name=name,
        scopes=chosen,
        expires_at=expires_at,
        digest=digest_of(text),
        prefix=text[:PREFIX_CHARACTERS],
    )
    return row, text


def default_expiry() -> datetime:
    most: int | None = settings.TOKEN_MAX_DAYS
    return timezone.now() + (DEFAULT_LIFE if most is None else min(DEFAULT_LIFE, timedelta(days=most)))


def _refuse_past(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= timezone.now():
        raise Problem(
            "The token would already be expired.",
            errors=[FieldProblem("expires_at", "This time is in the past.")],
        )


def refuse_expiry(expires_at: datetime | None) -> None:
    """Raises Problem if the expiry date is in the past. If TOKEN_MAX_DAYS is set, also raises Problem if the
    token would never expire or the date is too far in the future."""
    _refuse_past(expires_at)
    most: int | None = settings.TOKEN_MAX_DAYS
    if most is None:
        return
    if expires_at is None or expires_at > timezone.now() + timedelta(days=most) + CLOCK_STEP:
        reason = f"Choose a date within {most} days."
        raise Problem("The token would be valid for too long.", errors=[FieldProblem("expires_at", reason)])


def token_holder(*, token: str) -> ApiToken | None:
    """Returns the valid token with this text; its user is read with the same query. Returns None if the token
    is unknown, revoked or expired, or if the user is inactive."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_HOLDER, {"digest": digest_of(token), "now": now})
        found = cursor.fetchone()
    if found is None:
        return None
    values = iter(found)
    row = _TOKEN.take(values)
    row.user = _USER.take(values)
    if row.last_used_at is None or row.last_used_at < now - LAST_USED_STEP:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - LAST_USED_STEP)
        ApiToken.objects.filter(stale, pk=row.pk).update(last_used_at=now)
    return row


def revoke_token(*, token: ApiToken) -> bool:
    """Revokes the token. Returns False if the token was already revoked."""
    return ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()) == 1


def revoke_all_tokens(*, user: User) -> int:
    """Revokes all of the user's tokens. Returns the number of newly revoked tokens."""
    return ApiToken.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())
