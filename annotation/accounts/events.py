"""Events of accounts, recorded for the audit log."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotation.models import AccountEvent, User

# An event that repeats within this period is recorded once, so that repeated logins can't fill the log.
REPEATED = timedelta(hours=1)


def record_event(*, user: User, kind: AccountEvent.Kind) -> None:
    same = AccountEvent.objects.filter(user=user, kind=kind, at__gt=timezone.now() - REPEATED)
    if not same.exists():
        AccountEvent.objects.create(user=user, kind=kind)
