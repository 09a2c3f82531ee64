from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Any

from annotation.datasets.selection import CHOICES, CONDITIONS
from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.management.reporting import ReportingCommand, counted, project_named
from annotation.models import Ranking


class Command(ReportingCommand):
    help = "Freeze a project's rankings into an immutable, hashed Parquet file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--name", help="the snapshot's name (default: the next in the series v1, v2, …)")
        wanted = parser.add_argument_group(
            "selection (default: all valid rankings, except rankings of checks)"
        )
        wanted.add_argument("--round", type=int, action="append", dest="rounds", metavar="N")
        wanted.add_argument("--source", choices=Ranking.Source.values, action="append", dest="sources")
        wanted.add_argument("--annotator", action="append", dest="annotators", metavar="NAME")
        wanted.add_argument("--model", action="append", dest="models", metavar="NAME")
        wanted.add_argument(
            "--after", metavar="TIME", help="only rankings from this time on, e.g. 2026-01-31T12:00:00Z"
        )
        wanted.add_argument("--before", metavar="TIME", help="only rankings before this time")
        wanted.add_argument("--kind", choices=Ranking.Kind.values, action="append", dest="kinds")
        wanted.add_argument(
            "--gold",
            choices=CHOICES["gold"],
            help="whether to include tasks with a known answer (default: excluded)",
        )
        wanted.add_argument(
            "--min-agreement",
            type=float,
            metavar="SHARE",
            help="minimum agreement between a task's annotators, 0 to 1",
        )
        wanted.add_argument(
            "--aggregation",
            choices=CHOICES["aggregation"],
            help="what each row represents (default: one ranking)",
        )
        card = parser.add_argument_group("additional text for the dataset card")
        card.add_argument("--license", default="", metavar="NAME")
        card.add_argument("--notes", default="", metavar="TEXT")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        snapshot = freeze_snapshot(
            project=project_named(options["project"]),
            name=options["name"],
            selection={key: options[key] for key in CONDITIONS if options.get(key) is not None},
            license=options["license"],
            notes=options["notes"],
        )
        card, path = snapshot.card, snapshot_path(snapshot)
        lines = [
            f"Froze {counted(snapshot.rows, 'ranking')} as {snapshot.name}:"
            f" {counted(snapshot.comparisons, 'comparison')} ({counted(card['ties'], 'tie')}),"
            f" {counted(card['prompts'], 'prompt')}, {counted(card['annotators'], 'annotator')}.",
            f"sha256 {snapshot.sha256}",
            str(path),
        ]
        return lines, {"id": snapshot.pk, "path": str(path), **card}
