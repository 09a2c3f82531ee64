from __future__ import annotations

import hashlib
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from annotation.datasets.exports import FORMAT_NAMES, check_format, export_snapshot
from annotation.management.reporting import ReportingCommand, project_named
from annotation.models import DatasetSnapshot
from storage import durable
from storage.space import DiskFull


class Command(ReportingCommand):
    help = "Export a snapshot to a file. The file is created atomically."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME", help="the snapshot's name or ID")
        parser.add_argument(
            "--project", metavar="SLUG", help="required if several projects have a snapshot with this name"
        )
        parser.add_argument("--format", required=True, metavar="NAME", help=", ".join(FORMAT_NAMES))
        parser.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a format option, e.g. threshold=4 (see docs/formats.md)",
        )
        parser.add_argument("--out", required=True, type=Path, metavar="PATH")

    def run(self, options: Mapping[str, Any]) -> tuple[Sequence[str], Mapping[str, Any]]:
        check_format(options["format"])
        snapshot = _snapshot(options["name"], options["project"])
        chunks = export_snapshot(
            snapshot=snapshot, format=options["format"], options=_named_values(options["option"])
        )
        try:
            size, sha256 = _write_whole(options["out"], chunks)
        except OSError as error:
            reason = str(error) if isinstance(error, DiskFull) else f"{error.strerror}."
            raise CommandError(f"{options['out']} can't be written: {reason}") from error
        pairs, ties = snapshot.comparisons - snapshot.card["ties"], snapshot.card["ties"]
        holds = {"rankings": snapshot.rows}
        if options["format"].startswith("trl_preference"):
            holds = {"pairs": pairs, "ties_left_out": ties}
        said = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in holds.items())
        document = {
            "snapshot": snapshot.name,
            "project": snapshot.project.slug,
            "format": options["format"],
            "out": str(options["out"]),
            "bytes": size,
            "sha256": sha256,
            **holds,
        }
        return [
            f"Wrote {options['out']} ({options['format']}): {said}, {size} bytes.",
            f"sha256 {sha256}",
        ], document


def _snapshot(name: str, slug: str | None) -> DatasetSnapshot:
    snapshots = DatasetSnapshot.objects.select_related("project")
    if slug is not None:
        snapshots = snapshots.filter(project=project_named(slug))
    found = list(snapshots.filter(name=name)) or list(snapshots.filter(pk__in=_uuids(name)))
    if not found:
        known = ", ".join(snapshots.order_by("-id").values_list("name", flat=True)[:20])
        raise CommandError(
            f"There is no snapshot {name!r}; {f'available: {known}' if known else 'there are none yet'}."
        )
    if len(found) > 1:
        slugs = ", ".join(item.project.slug for item in found)
        raise CommandError(f"Several projects have a snapshot {name!r}: choose one with --project ({slugs}).")
    return found[0]


def _named_values(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise CommandError(f"--option {word!r} must have the form NAME=VALUE.")
        found[name] = value
    return found


def _uuids(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []


def _write_whole(out: Path, chunks: Iterator[bytes]) -> tuple[int, str]:
    """Writes the file atomically: if the command is interrupted or the disk is full, no partial file is
    left."""
    digest, size = hashlib.sha256(), 0
    with durable.new_file(out) as file:
        for chunk in chunks:
            digest.update(chunk)
            size += file.write(chunk)
    return size, digest.hexdigest()
