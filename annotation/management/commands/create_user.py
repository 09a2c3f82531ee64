from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from annotation.accounts.members import add_member
from annotation.accounts.tokens import create_token
from annotation.accounts.users import create_user
from annotation.management.reporting import ReportingCommand, project_named
from annotation.models.project import Role

TOKEN_NAME = "create_user"


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
        _, token = create_token(user=user, name=TOKEN_NAME)
        kind = "admin" if options["admin"] else "user"
        member = f", {role} of {options['project']}" if role else ""
        lines = [f"Created {kind} {user.username}{member}.", f"password {password}", f"token {token}"]
        document = {
            "id": user.pk,
            "username": user.username,
            "is_admin": user.is_admin,
            "project": options["project"],
            "role": role,
            "password": password,
            "token": token,
        }
        return lines, document
