"""Personal API tokens. The database holds digests: a leaked copy of it opens nothing."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils import timezone

from annotation.database.rows import Columns
from annotation.models import ApiToken, User
from annotation.models.people import Scope
from config.problems import FieldProblem, Problem

TOKEN_BYTES = 32
PREFIX_CHARACTERS = 8
# `last_used_at` is for people; a write for each request would cost more than most requests do.
LAST_USED_STEP = timedelta(minutes=1)

_TOKEN, _USER = Columns(ApiToken, "k"), Columns(User, "u")
# `ApiToken.objects.live()`, with its user: by hand, because every request of a program begins with it.
_HOLDER = f"""
SELECT {_TOKEN.sql}, {_USER.sql} FROM annotation_apitoken k JOIN annotation_user u ON u.id = k.user_id
 WHERE k.digest = %(digest)s AND k.revoked_at IS NULL
   AND (k.expires_at IS NULL OR k.expires_at > %(now)s) AND u.is_active
"""


def digest_of(token: str) -> str:
    # Unsalted and fast on purpose: the token is 256 random bits, so there is nothing to guess.
    return hashlib.sha256(token.encode()).hexdigest()


def create_token(
    *, user: User, name: str, scopes: Iterable[str] = tuple(Scope), expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A new token, and its text: the only time that it can be seen. `scopes`: all of them unless said.

    Raises Problem for no or an unknown scope, and for an end that has passed.
    """
    chosen = sorted({str(scope) for scope in scopes})
    if unknown := sorted(set(chosen) - set(Scope.values)):
        raise Problem(
            f"There is no scope {unknown[0]!r}.",
            errors=[FieldProblem("scopes", f"Choose from {', '.join(Scope.values)}.")],
        )
    if not chosen:
        raise Problem("A token without a scope opens nothing.", errors=[FieldProblem("scopes", "Name one.")])
    if expires_at is not None and expires_at <= timezone.now():
        raise Problem(
            "The token would have expired before its first use.",
            errors=[FieldProblem("expires_at", "This time has passed.")],
        )
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


def token_holder(*, token: str) -> ApiToken | None:
    """The live token with this text, its user loaded; None when unknown, revoked, past its end or of somebody
    inactive."""
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
    """False when it was revoked before."""
    return ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()) == 1
