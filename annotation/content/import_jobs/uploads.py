"""The uploaded files of unfinished imports, on the volume that the web server and the workers share."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from annotation.models import Import

# A file is stored before its row. If the web server dies in between, no row ever refers to the file.
ORPHANED_AFTER = timedelta(hours=1)


def upload_path(id: UUID) -> Path:
    return Path(settings.ARTEFACTS) / "imports" / str(id)


def keep_upload(*, id: UUID, file: UploadedFile) -> None:
    """Stores the file for the worker. A large upload is already a temporary file and is only moved."""
    target = upload_path(id)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    try:
        if isinstance(file, TemporaryUploadedFile):
            shutil.move(file.temporary_file_path(), partial)
        else:
            file.seek(0)
            with partial.open("wb") as stream:
                shutil.copyfileobj(file, stream)
        partial.chmod(0o600)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_upload(id: UUID) -> None:
    upload_path(id).unlink(missing_ok=True)


def remove_orphaned_uploads() -> None:
    """Removes old files that no unfinished import needs."""
    folder = upload_path(UUID(int=0)).parent
    if not folder.is_dir():
        return
    needed = {str(id) for id in Import.objects.unfinished().values_list("pk", flat=True)}
    oldest = time.time() - ORPHANED_AFTER.total_seconds()
    for entry in os.scandir(folder):
        # Another worker can remove the file at the same time.
        with suppress(FileNotFoundError):
            if entry.name not in needed and entry.stat().st_mtime < oldest:
                os.unlink(entry.path)
