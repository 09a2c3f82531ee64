"""Account events, recorded for the audit log."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotation.models import AccountEvent, User


def record_event(*, user: User, kind: AccountEvent.Kind, once_in: timedelta | None = None) -> None:
    """Records the event. With `once_in`, records nothing if the user has had an event of this kind within
    that period."""
    if once_in is not None:
        same = AccountEvent.objects.filter(user=user, kind=kind, at__gt=timezone.now() - once_in)
        if same.exists():
            return
    AccountEvent.objects.create(user=user, kind=kind)
