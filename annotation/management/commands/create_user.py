from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction
from django.utils import timezone

from annotation.accounts import tokens
from annotation.accounts.members import add_member
from annotation.accounts.users import create_user
from annotation.management.reporting import ReportingCommand, project_named
from annotation.models.project import Role

TOKEN_NAME = "create_user"


MAX_DAYS = 36_500


def _days(text: str) -> int | None:
    if text == "never":
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_DAYS:
        raise ArgumentTypeError(f"{text!r} is neither a number of days from 1 to {MAX_DAYS:,} nor `never`")
    return int(text)


class Command(ReportingCommand):
    help = "Create a user and print a password and an API token, which are shown only once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME")
        parser.add_argument(
            "--email",
            default="",
            help="email address, for login through an OpenID provider that has verified the address",
        )
        parser.add_argument("--project", metavar="SLUG", help="make the user a member of this project")
        parser.add_argument("--role", choices=Role.values, help="the member's role (default: annotator)")
        parser.add_argument(
            "--token-days",
            type=_days,
            default=tokens.DEFAULT_LIFE.days,
            metavar="DAYS",
            help="how long the API token is valid, in days, or `never` if it must not expire (default: 90)",
        )
        parser.add_argument("--admin", action="store_true", help="make the user a site admin")

    # Everything runs in one transaction, so a token is printed only if the membership is stored too.
    @transaction.atomic
    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        if options["role"] and not options["project"]:
            raise CommandError("--role needs --project, because roles belong to projects.")
        project = project_named(options["project"]) if options["project"] else None
        user, password = create_user(
            username=options["name"], is_admin=options["admin"], email=options["email"]
        )
        role = None
        if project is not None:
            role = options["role"] or Role.ANNOTATOR.value
            add_member(project=project, user=user, role=role)
        days = options["token_days"]
        ends = None if days is None else timezone.now() + timedelta(days=days)
        _, token = tokens.create_token(user=user, name=TOKEN_NAME, expires_at=ends)
        kind = "admin" if options["admin"] else "user"
        member = f", {role} of {options['project']}" if role else ""
        lines = [f"Created {kind} {user.username}{member}.", f"password {password}", f"token {token}"]
        lines.append(f"The token is valid until {ends:%Y-%m-%d}." if ends else "The token never expires.")
        document = {
            "id": user.pk,
            "username": user.username,
            "is_admin": user.is_admin,
            "project": options["project"],
            "role": role,
            "password": password,
            "token": token,
            "token_expires_at": ends,
        }
        return lines, document
