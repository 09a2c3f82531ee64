"""What the commands share: they say what they did with counts, or with --json as one JSON object."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotation.models import Project
from config.problems import Problem


class QuickCommand(BaseCommand):
    """Starts without Django's system checks, which import every view (0.7 s of a processor) and have run when
    the stack started: `migrate` does."""

    requires_system_checks: list[str] = []


class ReportingCommand(QuickCommand):
    """A command that is one service call: :meth:`run` returns what to print, as lines and as an object.

    A refusal (Problem) becomes the command's error, with each wrong field, and an exit code of 1.
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


def project_named(slug: str) -> Project:
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise CommandError(
            f"There is no project {slug!r}; there {f'are: {known}' if known else 'is none yet'}."
        )
    return project


def _text(problem: Problem) -> str:
    """The refusal and its fields; a reason that the refusal repeats already is left out."""
    fields = [
        f"  {error.field}: {error.reason}" for error in problem.errors if error.reason not in problem.detail
    ]
    return "\n".join([problem.detail, *fields])
