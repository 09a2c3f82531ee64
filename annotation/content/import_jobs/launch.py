"""Queues the import of an uploaded file or of a dataset on the Hub."""

from __future__ import annotations

from typing import BinaryIO, cast
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone

from annotation.content.import_jobs.downloads import HubDataset
from annotation.content.import_jobs.transitions import wake_import_worker
from annotation.content.import_jobs.uploads import keep_upload, remove_upload
from annotation.content.importing.imports import recognised
from annotation.content.importing.lines import ImportedVotes
from annotation.content.importing.options import ImportOptions, checked_options
from annotation.ids import uuid7
from annotation.models import Import, Project, User
from config.problems import Conflict, Problem
from preferences.formats.containers.limits import HEAD_EXPANDED_BYTES, Expanded

MAX_NAME = 255
# Uploaded files stay on disk until they are imported, so the number of unfinished imports is limited.
MAX_UNFINISHED = 20


def launch_import(*, project: Project, user: User, file: UploadedFile, options: ImportOptions) -> Import:
    """Stores the file and queues its import.

    Raises Problem and stores nothing if the beginning of the file can't be read, if its format is unknown
    or if an option is out of bounds.
    """
    checked_options(project, options)
    _refuse_too_many(project)
    expanded = Expanded(HEAD_EXPANDED_BYTES)
    try:
        recognised(cast(BinaryIO, file), options.get("format"), options.get("mapping"), expanded)
    except Problem:
        # If reading the first rows would unpack too much data, the file is not checked here but later, by the
        # worker.
        if not expanded.exceeded:
            raise
    id = uuid7()
    sha256 = keep_upload(id=id, file=file)
    try:
        queued = _queued(
            id=id,
            project=project,
            user=user,
            name=file.name or "",
            size=file.size or 0,
            sha256=sha256,
            options=options,
        )
    except BaseException:
        remove_upload(id)
        raise
    return _with_phase(queued)


def launch_hub_import(*, project: Project, user: User, hub: HubDataset, options: ImportOptions) -> Import:
    """Queues the download and the import of a dataset. Raises Problem if an option is out of bounds. The
    worker downloads the dataset later, so any other error makes the import fail."""
    checked_options(project, options)
    _refuse_too_many(project)
    queued = _queued(
        id=uuid7(), project=project, user=user, name=hub["dataset"], size=0, options=options, hub=hub
    )
    return _with_phase(queued)


@transaction.atomic
def _queued(
    *,
    id: UUID,
    project: Project,
    user: User,
    name: str,
    size: int,
    options: ImportOptions,
    sha256: str = "",
    hub: HubDataset | None = None,
) -> Import:
    queued = Import.objects.create(
        id=id,
        project=project,
        created_by=user,
        file_name=name[-MAX_NAME:],
        size=size,
        sha256=sha256,
        options={**options, "votes": str(options.get("votes", ImportedVotes.CLOSE))},
        hub=hub,
        woken_at=timezone.now(),
    )
    wake_import_worker(import_id=id)
    return queued


def _with_phase(queued: Import) -> Import:
    """Reloads the import's phase. After the commit, the phase shows whether the message queue responded."""
    queued.refresh_from_db(fields=["phase"])
    return queued


def _refuse_too_many(project: Project) -> None:
    if Import.objects.unfinished().filter(project=project).count() >= MAX_UNFINISHED:
        raise Conflict(
            f"The project already has {MAX_UNFINISHED} unfinished imports. Wait until some have ended, or"
            " cancel some."
        )
