"""Reads the audit log, which the database writes (see models/sql/audit.sql)."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from annotation.models import AuditEntry, User

USER = "user:"


def actor_named(name: str) -> str:
    """Converts user input (a username, or an actor as stored) to the `actor` of an entry.

    Usernames cannot contain a colon; every stored actor except `anonymous` contains one. An unknown name
    matches no entries.
    """
    if ":" in name or not name:
        return name
    user = User.objects.filter(username=name).values_list("pk", flat=True).first()
    return name if user is None else f"{USER}{user}"


def actor_names(entries: Iterable[AuditEntry]) -> dict[str, str]:
    """Maps the entries' `user:` actors to current usernames, with one query."""
    ids = {_user_id(entry.actor) for entry in entries} - {None}
    return {f"{USER}{id}": name for id, name in User.objects.filter(pk__in=ids).values_list("pk", "username")}


def _user_id(actor: str) -> UUID | None:
    try:
        return UUID(actor.removeprefix(USER)) if actor.startswith(USER) else None
    except ValueError:  # a manual SQL session can set any actor
        return None
