"""Pausing and resuming members, and granting qualification attempts. Members are never deleted."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from annotation.database.sql import Lock, acquire
from annotation.models import Assignment, Membership
from annotation.models.project import Role
from config.problems import Conflict


@transaction.atomic
def pause(*, member: Membership, reason: str) -> None:
    """Pauses the member, who gets no tasks during the pause. Their leases are released; their drafts are
    kept."""
    # Waits for a claim in progress, so that its lease is released too.
    acquire(Lock.DESK.of(member.project_id, member.user_id))
    Membership.objects.filter(pk=member.pk).update(state=Membership.State.PAUSED, paused_reason=reason)
    Assignment.objects.leased().filter(project=member.project_id, annotator=member.user_id).update(
        state=Assignment.State.RELEASED
    )


@transaction.atomic
def resume(*, member: Membership) -> None:
    """Ends the pause. Checks answered earlier no longer count; otherwise, the next check could pause the
    member again."""
    Membership.objects.filter(pk=member.pk, state=Membership.State.PAUSED).update(
        state=Membership.State.ACTIVE, paused_reason="", judged_since=Now()
    )


def grant_attempt(*, member: Membership) -> Membership:
    """Grants one more qualification attempt. Raises Conflict unless the member has failed all attempts."""
    allowed = F("extra_attempts") + F("project__qualification_attempts")
    failed = Membership.objects.filter(
        Q(role=Role.ANNOTATOR, qualified_at=None, qualification_attempt__gt=allowed), pk=member.pk
    ).filter(project__qualification_pass_mark__isnull=False)
    if not failed.exists():
        raise Conflict(
            "The member has not failed qualification, so no attempt can be granted.", type="not-failed"
        )
    # Compare-and-set: of two simultaneous grants, only one succeeds.
    granted = Membership.objects.filter(pk=member.pk, extra_attempts=member.extra_attempts)
    if granted.update(extra_attempts=F("extra_attempts") + 1) != 1:
        raise Conflict("Somebody else has just granted an attempt.", type="stale")
    member.refresh_from_db()
    return member
