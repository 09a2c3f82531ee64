from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from annotation.ids import uuid7
from annotation.models.people import User
from annotation.models.project import Project, Role

MAX_DAYS = 30


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> InvitationQuerySet:
        """Invitations that are neither accepted nor revoked, and not expired according to the database's
        clock."""
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=Now())

    def with_people(self) -> InvitationQuerySet:
        return self.select_related("created_by", "accepted_by")


class Invitation(models.Model):
    """Lets one person join a project in one role, with a new or an existing account.

    The database contains only the SHA-256 of the invitation's token (`accounts.invitations`).
    """

    class State(models.TextChoices):
        """Computed from the invitation's times; not a column."""

        OPEN = "open"
        ACCEPTED = "accepted"
        REVOKED = "revoked"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role.choices)
    digest = models.CharField(max_length=64)
    note = models.CharField(
        max_length=200, blank=True, help_text="A manager's note about the invited person."
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="invitation_digest"),
            models.CheckConstraint(
                condition=Q(accepted_at=None, accepted_by=None)
                | Q(accepted_at__isnull=False, accepted_by__isnull=False, revoked_at=None),
                name="invitation_accepted_once_and_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} of {self.project_id}"

    @property
    def state(self) -> State:
        if self.accepted_at is not None:
            return self.State.ACCEPTED
        if self.revoked_at is not None:
            return self.State.REVOKED
        return self.State.OPEN if self.expires_at > timezone.now() else self.State.EXPIRED
