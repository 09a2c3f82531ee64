from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import transaction

from annotation.accounts.login import passwords, resets, second_factor
from annotation.management.reporting import ReportingCommand
from annotation.models import User


class Command(ReportingCommand):
    help = "Reset a user's second factor, create a link to a new password, or end the user's sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--reset-second-factor",
            action="store_true",
            help="switch the second factor off, so that the password alone logs in",
        )
        parser.add_argument(
            "--reset-link",
            action="store_true",
            help="print a link with which the user sets a new password; it works once and for a day",
        )
        parser.add_argument("--end-sessions", action="store_true", help="log the user out everywhere")

    @transaction.atomic
    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        user = _user_named(options["name"])
        lines: list[str] = []
        document: dict[str, Any] = {"id": user.pk, "username": user.username}
        if options["reset_second_factor"]:
            was_on = second_factor.reset(user=user)
            state = "is off now; the user can set it up again" if was_on else "was already off"
            lines.append(f"The second factor of {user.username} {state}.")
            document["second_factor_was_on"] = was_on
        if options["end_sessions"]:
            passwords.end_sessions(user=user)
            lines.append(f"{user.username} is logged out everywhere. API tokens stay valid.")
            document["sessions_ended"] = True
        if options["reset_link"]:
            user.refresh_from_db()
            link = f"{_origin()}/reset#{resets.create_reset_token(user=user)}"
            lines += ["This link sets a new password. It works once, within a day.", f"link {link}"]
            document["reset_link"] = link
        if not lines:
            raise CommandError("Nothing to do: use --reset-second-factor, --reset-link or --end-sessions.")
        return lines, document


def _user_named(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user


def _origin() -> str:
    """The site's address, as far as the settings contain it. Otherwise, the printed link is only a path."""
    return settings.CSRF_TRUSTED_ORIGINS[0].rstrip("/") if settings.CSRF_TRUSTED_ORIGINS else ""
