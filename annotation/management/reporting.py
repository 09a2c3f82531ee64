"""Shared code for the management commands, which print their results as text, or as one JSON object with
--json."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from annotation.models import Project
from config.full_disk import full_disk_problem
from config.problems import Problem


class QuickCommand(BaseCommand):
    """Reports a full disk in one sentence, and skips Django's system checks. The checks import every view,
    which takes 0.7 s of processor time. They are not needed here, because `migrate` runs them whenever the
    stack starts."""

    requires_system_checks: list[str] = []

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OSError, DatabaseError) as error:
            if (full := full_disk_problem(error)) is None:
                raise
            raise CommandError(full.detail) from error


class ReportingCommand(QuickCommand):
    """A command that makes one service call. :meth:`run` returns the output both as lines and as an object.

    If the call raises Problem, the command prints the error with each invalid field and exits with code 1.
    """

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            lines, document = self.run(options)
        except Problem as problem:
            raise CommandError(_text(problem)) from problem
        if options["json"]:
            self.stdout.write(json.dumps(document, ensure_ascii=False, default=str))
        else:
            self.stdout.write("\n".join(lines))


def counted(number: int, noun: str) -> str:
    """For example `1 task` or `2 tasks`. The plural of `noun` must end in -s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def project_named(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise CommandError(
            f"There is no project {slug!r}; {f'available: {known}' if known else 'there are none yet'}."
        )
    return project


def _text(problem: Problem) -> str:
    """The error message and the invalid fields, without repeated reasons."""
    fields = [
        f"  {error.field}: {error.reason}" for error in problem.errors if error.reason not in problem.detail
    ]
    return "\n".join([problem.detail, *fields])
