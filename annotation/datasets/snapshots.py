"""Snapshots: rankings frozen into a hashed Parquet file, for downloads and for training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from annotation.database.sql import Lock, acquire
from annotation.datasets import choice
from annotation.datasets.card import Tally, card_of
from annotation.datasets.majority import majority_rows_of
from annotation.datasets.rows import rows_of, unweighted
from annotation.datasets.selection import Selection
from annotation.datasets.weights import weigh
from annotation.ids import uuid7
from annotation.models import DatasetSnapshot, Exclusion, Project, User
from config.problems import Conflict, FieldProblem, Problem
from preferences.formats.dataset_card import readme
from preferences.formats.snapshot_parquet import write_rankings
from preferences.text import storage_fault
from storage import durable
from storage.digests import FileChanged, sha256_of, verify_file

PARQUET_NAME = "rankings.parquet"
CARD_NAME = "card.json"
README_NAME = "README.md"
MAX_NAME_CHARACTERS = 100
MAX_LICENSE_CHARACTERS = 200
MAX_NOTES_CHARACTERS = 10_000


class SnapshotChanged(Problem):
    """Raised if the snapshot's file has changed since it was frozen."""

    type = "snapshot-file-damaged"
    status = HTTPStatus.INTERNAL_SERVER_ERROR


def snapshot_path(snapshot: DatasetSnapshot) -> Path:
    """Path of the Parquet file, whose SHA-256 is verified. Raises Problem if the file is missing or has
    changed."""
    path = Path(settings.ARTEFACTS) / snapshot.path
    if not path.is_file():
        raise Problem(
            f"The file of snapshot {snapshot.name} is missing ({snapshot.path} in the artefacts folder);"
            " restore the file from a backup or freeze a new snapshot.",
            type="snapshot-file-missing",
            status=500,
        )
    try:
        verify_file(
            path,
            sha256=snapshot.sha256,
            what=f"The file of snapshot {snapshot.name} ({snapshot.path} in the artefacts folder)",
        )
    except FileChanged as changed:
        raise SnapshotChanged(
            f"{changed} Restore the file from a backup, or freeze a new snapshot."
        ) from changed
    return path


def freeze_snapshot(
    *,
    project: Project,
    name: str | None = None,
    selection: Mapping[str, Any] | None = None,
    license: str = "",
    notes: str = "",
    created_by: User | None = None,
) -> DatasetSnapshot:
    """Freezes the selected rankings. The file and its database row are created atomically. The default name
    is the next in the series v1, v2, ….

    The name, licence and notes are stored in the card, not in the file. Identical rankings therefore give
    identical bytes and checksums. Raises Conflict when the name is taken, and Problem when the selection is
    invalid or empty.
    """
    wanted = Selection.from_json(selection or {})
    if name is not None:
        _check_name(name)
    _check_texts(license, notes)
    id = uuid7()
    folder = Path(settings.ARTEFACTS) / "snapshots" / project.slug
    finished = folder / str(id)
    durable.make_folders(folder)
    try:
        with transaction.atomic():
            _one_at_a_time(project, folder)
            taken = set(DatasetSnapshot.objects.filter(project=project).values_list("name", flat=True))
            if name in taken:
                raise _taken(project, name)
            name = name or _next_name(taken)
            tasks = choice.choose(project, wanted)
            tally = Tally()
            weights = weigh() if wanted.aggregation == "weighted" else None
            rankings = choice.chosen()
            # The folder is renamed to its final name at the end of this block, as the last step before the
            # commit. If the process is killed between the two steps, a file without a row remains, which is
            # better than a row without a file.
            with durable.replacing(finished) as unfinished:
                unfinished.mkdir()
                if wanted.aggregation == "majority":
                    rows = majority_rows_of(project, rankings)
                else:
                    rows = rows_of(project, rankings, weight_of=weights.of if weights else unweighted)
                if not tasks or not write_rankings(unfinished / PARQUET_NAME, tally.counted(rows)):
                    raise Problem(
                        "The selection contains no rankings, so there is nothing to freeze.", type="empty"
                    )
                sha256 = sha256_of(unfinished / PARQUET_NAME)
                card = card_of(
                    project,
                    name,
                    wanted,
                    tally,
                    sha256=sha256,
                    file=PARQUET_NAME,
                    tasks=tasks,
                    agreement=asdict(choice.agreement()),
                    weights=weights.to_json() if weights else {},
                    license=license,
                    notes=notes,
                    excluded_annotators=Exclusion.objects.standing().filter(project=project).count(),
                )
                card_text = json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False)
                (unfinished / CARD_NAME).write_text(card_text + "\n")
                (unfinished / README_NAME).write_text(readme(card))
                snapshot = DatasetSnapshot.objects.create(
                    id=id,
                    project=project,
                    name=name,
                    sha256=sha256,
                    path=str((finished / PARQUET_NAME).relative_to(settings.ARTEFACTS)),
                    rows=tally.rankings,
                    comparisons=tally.comparisons,
                    selection=wanted.to_json(),
                    card=card,
                    created_by=created_by,
                )
    except BaseException:
        shutil.rmtree(finished, ignore_errors=True)
        raise
    return snapshot


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        reason = f"Use 1 to {MAX_NAME_CHARACTERS} printable characters."
        raise Problem("The snapshot's name is invalid.", errors=[FieldProblem("name", reason)])


def _next_name(taken: set[str]) -> str:
    number = len(taken) + 1
    while f"v{number}" in taken:
        number += 1
    return f"v{number}"


def _check_texts(license: str, notes: str) -> None:
    errors = []
    if len(license) > MAX_LICENSE_CHARACTERS or not (license.isprintable() or not license):
        errors.append(
            FieldProblem("license", f"Use one line of at most {MAX_LICENSE_CHARACTERS} characters.")
        )
    if len(notes) > MAX_NOTES_CHARACTERS or storage_fault(notes):
        errors.append(FieldProblem("notes", f"Use text with at most {MAX_NOTES_CHARACTERS:,} characters."))
    if errors:
        raise Problem("The snapshot's card is invalid.", errors=errors)


def _taken(project: Project, name: str) -> Conflict:
    return Conflict(
        f"{project.slug} already has a snapshot {name}; snapshots never change, so choose another name.",
        type="snapshot-exists",
        errors=[FieldProblem("name", "A snapshot with this name already exists.")],
    )


def _one_at_a_time(project: Project, folder: Path) -> None:
    """Deletes the unfinished folders of killed freezes. First waits for the project's running freezes, so
    that every remaining unfinished folder belongs to a killed process."""
    acquire(Lock.SNAPSHOTS.of(project.pk))
    durable.remove_unfinished(folder)
