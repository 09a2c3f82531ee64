"""The uploaded files of unfinished imports, on the volume that the web server and the workers share."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from errno import ENOSPC
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from annotation.models import Import
from config.problems import Problem

logger = logging.getLogger(__name__)

# A file is stored before its row. If the web server dies in between, no row ever refers to the file.
ORPHANED_AFTER = timedelta(hours=1)


def upload_path(id: UUID) -> Path:
    return Path(settings.ARTEFACTS) / "imports" / str(id)


def download_folder(id: UUID, attempt: int) -> Path:
    """The folder of the files that an attempt downloads."""
    return upload_path(id).with_name(f"{id}.download-{attempt}")


def keep_upload(*, id: UUID, file: UploadedFile) -> None:
    """Stores the file for the worker. A large upload is already a temporary file, which is moved."""
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


@contextmanager
def needing_space() -> Iterator[None]:
    """Raises Problem if the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        raise Problem(
            "The server's disk is full, so the file can't be stored. Ask an operator to free space.",
            status=HTTPStatus.INSUFFICIENT_STORAGE,
            type="disk-full",
        ) from error


def remove_orphaned_uploads() -> None:
    """Removes old files and folders that no unfinished import needs."""
    folder = upload_path(UUID(int=0)).parent
    if not folder.is_dir():
        return
    needed = {str(id) for id in Import.objects.unfinished().values_list("pk", flat=True)}
    oldest = time.time() - ORPHANED_AFTER.total_seconds()
    for entry in os.scandir(folder):
        # The part before the first dot is the import's ID.
        if entry.name.split(".")[0] in needed:
            continue
        try:
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
        except FileNotFoundError:
            pass  # another worker has removed it at the same time
        except OSError:
            logger.exception("The orphaned upload %s can't be removed.", entry.path)
