from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from annotation.content.importing.imports import import_file
from annotation.content.importing.lines import ImportedVotes
from annotation.content.importing.report import ImportReport
from annotation.management.reporting import ReportingCommand, counted, project_named
from annotation.models import Project
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.readers.table.chosen_mapping import DIRECTIONS

SHOWN_REASONS = 20


class Command(ReportingCommand):
    help = (
        "Import prompts, responses and existing rankings from a file, or with --hub from a dataset on the"
        " Hugging Face Hub. The file can be JSON Lines, a JSON array or CSV (each optionally gzipped), or"
        " Parquet. The format is detected automatically. Importing a file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "file", metavar="FILE", help="a file, or with --hub a dataset ID of the form OWNER/NAME"
        )
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--format", choices=sorted(IMPORT_FORMATS))
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            metavar="KEY=COLUMNS",
            help="choose a table's columns: prompt=, system=, responses=X,Y, vote=, direction=, annotator=."
            f" vote=none ignores the votes. Directions: {', '.join(DIRECTIONS)}. Can be repeated.",
        )
        parser.add_argument(
            "--votes",
            choices=[str(choice) for choice in ImportedVotes],
            default=str(ImportedVotes.CLOSE),
            help="close (default): rankings in the file close their tasks. keep: rankings are stored, and the"
            " tasks are ranked again. ignore: rankings are not stored.",
        )
        parser.add_argument(
            "--overlap", type=int, help="rankings per new task (default: the project's overlap)"
        )
        parser.add_argument(
            "--responses-per-task",
            type=int,
            metavar="K",
            help="divide responses without a ranking among tasks of at most K responses, for example"
            " 2 for pairs (default: 10)",
        )
        parser.add_argument(
            "--round", type=int, default=0, help="sampling round of the new tasks (default: 0)"
        )
        parser.add_argument(
            "--priority", type=int, default=0, help="tasks with higher priority are served first (default: 0)"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="report what would be imported, without importing it"
        )
        parser.add_argument("--hub", action="store_true", help="FILE is the ID of a dataset on the Hub")
        parser.add_argument("--part", help="with --hub: a configuration or folder (default: all)")
        parser.add_argument("--split", help="with --hub: train, test, … (default: all)")
        parser.add_argument("--revision", help="with --hub: a branch, tag or commit (default: main)")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        project = project_named(options["project"])
        if not options["hub"]:
            report = self._import(project, Path(options["file"]), options)
            return _lines(report, project.slug), report.to_json()
        # Loaded only when needed, because loading the Hub's client takes longer than importing a small data
        # file.
        from annotation.content.importing.hub import fetch_dataset

        # All files are downloaded before the first one is imported.
        files = list(
            fetch_dataset(
                dataset=options["file"],
                part=options["part"],
                split=options["split"],
                revision=options["revision"],
                endpoint=os.environ.get("HF_ENDPOINT"),
            )
        )
        lines: list[str] = []
        reports = []
        for name, path in files:
            report = self._import(project, path, options)
            lines += [f"{name}:", *_lines(report, project.slug)]
            reports.append({"file": name, **report.to_json()})
        return lines, {"files": reports}

    def _import(self, project: Project, file: Path, options: Mapping[str, Any]) -> ImportReport:
        report = import_file(
            project=project,
            file=file,
            format=options["format"],
            mapping=_mapping(options["map"]),
            overlap=options["overlap"],
            responses_per_task=options["responses_per_task"],
            round=options["round"],
            priority=options["priority"],
            dry_run=options["dry_run"],
            votes=ImportedVotes(options["votes"]),
        )
        for reason in report.reasons[:SHOWN_REASONS]:
            self.stderr.write(str(reason))
        if len(report.reasons) > SHOWN_REASONS:
            more = counted(len(report.reasons) - SHOWN_REASONS, "more reason")
            self.stderr.write(f"… and {more} (see --json)")
        if report.stopped:
            raise CommandError(f"{_summary(report, project.slug)}\n{report.stopped}")
        if report.read and report.failed == report.read:
            raise CommandError(f"None of the file's rows could be imported as {report.format}.")
        return report


def _mapping(choices: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for choice in choices:
        key, sign, columns = choice.partition("=")
        if not sign or key in chosen:
            raise CommandError(f"--map {choice}: write KEY=COLUMNS, each key once.")
        chosen[key.strip()] = columns.strip()
    return chosen


def _lines(report: ImportReport, slug: str) -> list[str]:
    return [_summary(report, slug), *map(str, report.quirks)]


def _summary(report: ImportReport, slug: str) -> str:
    did = "Would import" if report.dry_run else "Imported"
    return (
        f"{did} {counted(report.read, 'row')} ({report.format}) into {slug}:"
        f" {counted(report.prompts, 'new prompt')}, {counted(report.responses, 'response')},"
        f" {counted(report.tasks, 'task')}, {counted(report.rankings, 'ranking')};"
        f" {report.unchanged} unchanged, {report.failed} failed."
    )
