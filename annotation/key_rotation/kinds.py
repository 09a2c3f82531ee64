"""The stored values that depend on SECRET_KEY: their location, their owners, and advice for values that no
key can decrypt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils import timezone

from annotation.accounts.login.allauth_internals import renewed_data
from annotation.accounts.login.sessions import SessionStore
from annotation.models import SiteKey, User, WebhookEndpoint
from config import keys
from config.keys import Unreadable, Use


class Kind(ABC):
    """A kind of stored value that depends on the key. `advice` explains what to do about an unreadable
    value."""

    use: ClassVar[Use]
    plural: ClassVar[str]
    advice: ClassVar[str]

    @abstractmethod
    def rows(self) -> QuerySet[Any, Any]: ...

    @abstractmethod
    def owner(self, row: Any) -> str: ...

    @abstractmethod
    def renewed(self, row: Any) -> Mapping[str, Any]:
        """The row's values by column, encrypted or signed with the current key. Raises Unreadable if no key
        can read the row."""

    def prepare(self, rows: Sequence[Any]) -> None:  # noqa: B027 — most kinds need no preparation
        """Reads what :meth:`renewed` needs for a batch of rows."""


class SecondFactors(Kind):
    use = Use.SECOND_FACTOR
    plural = "second factors"
    advice = "Reset the second factor: manage.py set_user {owner} --reset-second-factor"

    def rows(self) -> QuerySet[Authenticator, Authenticator]:
        rows: QuerySet[Authenticator, Authenticator] = Authenticator.objects.select_related("user")
        return rows

    def owner(self, row: Authenticator) -> str:
        return str(row.user.get_username())

    def renewed(self, row: Authenticator) -> Mapping[str, Any]:
        return {"data": renewed_data(row.data, lambda text: keys.reencrypt(self.use, text))}


class WebhookSecrets(Kind):
    use = Use.WEBHOOK_SECRET
    plural = "webhook secrets"
    advice = "Ask a manager to create a new secret for the receiver on the project's webhooks page."

    def rows(self) -> QuerySet[WebhookEndpoint, WebhookEndpoint]:
        return WebhookEndpoint.objects.select_related("project")

    def owner(self, row: WebhookEndpoint) -> str:
        # The URL is left out, because it can contain a password or a token.
        return f"{row.project.slug}, webhook {row.description or row.pk}"

    def renewed(self, row: WebhookEndpoint) -> Mapping[str, Any]:
        columns = {"encrypted_secret": keys.reencrypt(self.use, row.encrypted_secret)}
        if row.encrypted_former_secret:
            # The previous secret is valid for only a day, so an unreadable previous secret requires no
            # action.
            with suppress(Unreadable):
                columns["encrypted_former_secret"] = keys.reencrypt(self.use, row.encrypted_former_secret)
        return columns


class SiteKeys(Kind):
    use = Use.SITE_KEY
    plural = "site keys"
    advice = (
        "Add the previous key to SECRET_KEY_FALLBACKS. If the key is lost, create new pseudonyms with"
        " --new-pseudonyms; annotators then can't be matched between old and new snapshots."
    )

    def rows(self) -> QuerySet[SiteKey, SiteKey]:
        return SiteKey.objects.all()

    def owner(self, row: SiteKey) -> str:
        return row.name

    def renewed(self, row: SiteKey) -> Mapping[str, Any]:
        return {"encrypted": keys.reencrypt(self.use, row.encrypted)}


class Sessions(Kind):
    use = Use.SESSION
    plural = "sessions"
    advice = "These sessions have ended. The users must log in again."

    def __init__(self) -> None:
        self._store = SessionStore()
        self._users: dict[UUID, User] = {}

    def rows(self) -> QuerySet[Session, Session]:
        return Session.objects.filter(expire_date__gt=timezone.now())

    def owner(self, row: Session) -> str:
        return ""

    def prepare(self, rows: Sequence[Session]) -> None:
        ids = {user_id for row in rows if (user_id := self._content(row).get(SESSION_KEY))}
        self._users = User.objects.in_bulk([UUID(id) for id in ids])

    def renewed(self, row: Session) -> Mapping[str, Any]:
        is_current = keys.is_signed_with_current_key(row.session_data, salt=self._store.key_salt)
        content = self._store.decode(row.session_data)
        user = self._users.get(UUID(content[SESSION_KEY])) if SESSION_KEY in content else None
        fingerprint: str = content.get(HASH_SESSION_KEY, "")
        if user is not None and fingerprint in user.get_session_auth_fallback_hash():
            content[HASH_SESSION_KEY] = user.get_session_auth_hash()
        elif is_current:
            return {"session_data": row.session_data}
        return {"session_data": self._store.encode(content)}

    def _content(self, row: Session) -> dict[str, Any]:
        try:
            keys.is_signed_with_current_key(row.session_data, salt=self._store.key_salt)
        except Unreadable:
            return {}
        return self._store.decode(row.session_data)


KINDS: tuple[type[Kind], ...] = (SecondFactors, WebhookSecrets, SiteKeys, Sessions)
