"""The uploaded files of unfinished imports, on the volume that the web server and the workers share."""

from __future__ import annotations

import logging
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from annotation.models import Import
from config.problems import Problem
from storage import durable
from storage.digests import FileChanged, copy_hashed, verify_file

logger = logging.getLogger(__name__)

# Files older than this are removed if no unfinished import needs them. A newer file might not have a row
# yet, because the file is stored first. If the web server dies before it inserts the row, no row ever refers
# to the file.
ORPHANED_AFTER = timedelta(hours=1)


def upload_path(id: UUID) -> Path:
    return Path(settings.ARTEFACTS) / "imports" / str(id)


def download_folder(id: UUID, attempt: int) -> Path:
    """The folder for the files that an attempt downloads."""
    return upload_path(id).with_name(f"{id}.download-{attempt}")


def keep_upload(*, id: UUID, file: UploadedFile) -> str:
    """Stores the file for the worker. Returns its SHA-256."""
    target = upload_path(id)
    durable.make_folders(target.parent, mode=0o700)
    file.seek(0)
    with durable.new_file(target, mode=0o600, needed=file.size) as stream:
        return copy_hashed(cast(BinaryIO, file), stream)


def stored_file(*, id: UUID, sha256: str) -> Path:
    """The file of an import. Raises Problem if the file is missing or has changed since it was stored."""
    path = upload_path(id)
    if not path.exists():
        raise Problem(
            "The import worker can't find the uploaded file. Upload it again. If the error recurs, the"
            " web server and the import worker don't share the state folder.",
            type="upload-missing",
        )
    if sha256:  # empty for an import that was queued before checksums were stored
        try:
            verify_file(path, sha256=sha256, what="The file of this import")
        except FileChanged as changed:
            raise Problem(f"{changed} Start the import again.", type="upload-changed") from changed
    return path


def remove_upload(id: UUID) -> None:
    upload_path(id).unlink(missing_ok=True)


def remove_orphaned_uploads() -> None:
    """Removes old files and folders that no unfinished import needs."""
    folder = upload_path(UUID(int=0)).parent
    if not folder.is_dir():
        return
    needed = {str(id) for id in Import.objects.unfinished().values_list("pk", flat=True)}
    oldest = time.time() - ORPHANED_AFTER.total_seconds()
    for entry in os.scandir(folder):
        # The name of an unfinished upload begins with a dot, which is removed first. The ID is the part
        # before the next dot.
        if entry.name.removeprefix(".").split(".")[0] in needed:
            continue
        try:
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
        except FileNotFoundError:
            pass  # another worker has removed the file in the meantime
        except OSError:
            logger.exception("The orphaned upload %s can't be removed.", entry.path)
