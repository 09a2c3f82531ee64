from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import transaction

from annotation.accounts import users
from annotation.accounts.login import passwords, resets, second_factor
from annotation.management.reporting import ReportingCommand
from annotation.models import User


class Command(ReportingCommand):
    help = "Deactivate or activate a user, change the admin role, help a user log in, or end sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--reset-second-factor",
            action="store_true",
            help="switch the second factor off, so that the password is enough to log in",
        )
        parser.add_argument(
            "--reset-link",
            action="store_true",
            help="print a link for setting a new password; the link works once and expires after a day",
        )
        active = parser.add_mutually_exclusive_group()
        active.add_argument(
            "--deactivate",
            action="store_true",
            help="refuse the user's logins and tokens, and log the user out; all data is kept",
        )
        active.add_argument("--activate", action="store_true", help="accept logins and tokens again")
        admin = parser.add_mutually_exclusive_group()
        admin.add_argument("--admin", action="store_true", help="make the user an admin of the site")
        admin.add_argument("--no-admin", action="store_true", help="remove the admin role")
        parser.add_argument("--end-sessions", action="store_true", help="log the user out everywhere")

    @transaction.atomic
    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        user = _user_named(options["name"])
        lines: list[str] = []
        document: dict[str, Any] = {"id": user.pk, "username": user.username}
        if options["activate"] or options["deactivate"]:
            changed = users.set_active(user=user, active=options["activate"])
            state = "active" if options["activate"] else "deactivated"
            lines.append(f"{user.username} is {state if changed else f'already {state}'}.")
            document["active"] = options["activate"]
        if options["admin"] or options["no_admin"]:
            changed = users.set_admin(user=user, admin=options["admin"])
            if options["admin"]:
                state = "now an admin" if changed else "already an admin"
            else:
                state = "no longer an admin" if changed else "not an admin"
            lines.append(f"{user.username} is {state}.")
            document["admin"] = options["admin"]
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
            lines += [
                "Use this link to set a new password. It works once and expires after a day.",
                f"link {link}",
            ]
            document["reset_link"] = link
        if not lines:
            raise CommandError("Nothing to do. `manage.py set_user --help` lists the options.")
        return lines, document


def _user_named(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    return user


def _origin() -> str:
    """The site's address from the settings. If the settings have no address, the printed link is only a
    path."""
    return settings.CSRF_TRUSTED_ORIGINS[0].rstrip("/") if settings.CSRF_TRUSTED_ORIGINS else ""
