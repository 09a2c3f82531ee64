"""Queues the import of an uploaded file or of a dataset on the Hub."""

from __future__ import annotations

from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from annotation.content.import_jobs.downloads import HubDataset
from annotation.content.import_jobs.transitions import wake_import_worker
from annotation.content.import_jobs.uploads import keep_upload, remove_upload
from annotation.content.import_lines import ImportedVotes
from annotation.content.imports import ImportOptions, checked_options, recognised
from annotation.ids import uuid7
from annotation.models import Import, Project, User

MAX_NAME = 255


def launch_import(*, project: Project, user: User, file: UploadedFile, options: ImportOptions) -> Import:
    """Stores the file and queues its import.

    Raises Problem, with nothing stored, if the beginning of the file can't be read, if its format is unknown
    or if an option is out of bounds.
    """
    checked_options(project, options)
    # The web server reads the file only for this check, and for most files only the beginning.
    recognised(file, options.get("format"), options.get("mapping"))  # type: ignore[arg-type]
    id = uuid7()
    keep_upload(id=id, file=file)
    try:
        return _queued(
            id=id, project=project, user=user, name=file.name or "", size=file.size or 0, options=options
        )
    except BaseException:
        remove_upload(id)
        raise


def launch_hub_import(*, project: Project, user: User, hub: HubDataset, options: ImportOptions) -> Import:
    """Queues the download and the import of a dataset. Raises Problem if an option is out of bounds. The
    worker downloads the dataset later, so all other errors make the import fail instead."""
    checked_options(project, options)
    return _queued(
        id=uuid7(), project=project, user=user, name=hub["dataset"], size=0, options=options, hub=hub
    )


@transaction.atomic
def _queued(
    *,
    id: UUID,
    project: Project,
    user: User,
    name: str,
    size: int,
    options: ImportOptions,
    hub: HubDataset | None = None,
) -> Import:
    queued = Import.objects.create(
        id=id,
        project=project,
        created_by=user,
        file_name=name[-MAX_NAME:],
        size=size,
        options={**options, "votes": str(options.get("votes", ImportedVotes.CLOSE))},
        hub=hub,
    )
    wake_import_worker(import_id=id)
    return queued
