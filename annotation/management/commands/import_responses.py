from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotation.formats.catalog import IMPORT_FORMATS
from annotation.management.reporting import ReportingCommand, project_named
from annotation.services.imports import ImportReport, import_file

SHOWN_ERRORS = 20


class Command(ReportingCommand):
    help = (
        "Import prompts, responses and existing rankings from JSON Lines, CSV (both also gzipped) or Parquet."
        " The format is recognised; importing a file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=sorted(IMPORT_FORMATS))
        parser.add_argument("--overlap", type=int, help="rankings wanted of each new task (the project's)")
        parser.add_argument("--round", type=int, default=0, help="round of sampling of the new tasks (0)")
        parser.add_argument(
            "--dry-run", action="store_true", help="report what would come in; nothing is kept"
        )
        parser.add_argument("--priority", type=int, default=0, help="higher is served first (0)")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        report = import_file(
            project=project_named(options["project"]),
            file=options["file"],
            format=options["format"],
            overlap=options["overlap"],
            round=options["round"],
            priority=options["priority"],
            dry_run=options["dry_run"],
        )
        for error in report.errors[:SHOWN_ERRORS]:
            self.stderr.write(f"line {error.line}: {error.reason}")
        if report.failed > SHOWN_ERRORS:
            self.stderr.write(
                f"… and {report.failed - SHOWN_ERRORS} more bad lines (--json lists up to 1000)"
            )
        if report.read and report.failed == report.read:
            raise CommandError(f"None of the {report.read} rows could be imported as {report.format}.")
        return [_summary(report, options["project"]), *map(str, report.quirks)], report.to_json()


def _summary(report: ImportReport, slug: str) -> str:
    did = "Would import" if report.dry_run else "Imported"
    return (
        f"{did} {report.read} rows ({report.format}) into {slug}: {report.prompts} new prompts,"
        f" {report.responses} responses, {report.tasks} tasks, {report.rankings} rankings;"
        f" {report.unchanged} unchanged, {report.failed} failed."
    )
