from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotation.ids import uuid7
from config.keys import session_fingerprint


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session_epoch = models.PositiveIntegerField(
        default=0, help_text="Incremented to end all sessions: each session is signed with this value."
    )

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        return session_fingerprint(f"{self.session_epoch}:{self.password}", secret=secret)

    @property
    def is_admin(self) -> bool:
        """Admin is a site role, not a project role."""
        return self.is_active and self.is_superuser


class Scope(models.TextChoices):
    """The scopes of an API token. A token never has more permissions than its user."""

    READ = "read"
    ANNOTATE = "annotate"
    MANAGE = "manage"
    TRAIN = "train"


def every_scope() -> list[str]:
    return list(Scope.values)


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def live(self, now: datetime) -> ApiTokenQuerySet:
        """Tokens that are neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


class ApiToken(models.Model):
    """A personal bearer token. Only the SHA-256 of a token is stored; the token itself is shown once, on
    creation."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(
        max_length=12, help_text="The token's first characters, which identify it in lists."
    )
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope.choices), default=every_scope)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Null: the token does not expire.")
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=Scope.values, scopes__len__gte=1), name="token_scopes_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class AccountEvent(models.Model):
    """An account event that changes no other row. The audit log records the event."""

    class Kind(models.TextChoices):
        RESET_LINK_CREATED = "reset-link-created"
        SECOND_FACTOR_UNREADABLE = "second-factor-unreadable"

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=40, choices=Kind.choices)
    at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.kind} of {self.user_id}"
