"""Problem details for a full disk (507 Insufficient Storage): which disk is full, and what to do."""

from __future__ import annotations

import tempfile
from http import HTTPStatus
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import DatabaseError

from config.problems import Problem
from storage.space import DiskFull, free_bytes, is_full

_DISK_FULL = "53100"  # SQLSTATE disk_full
_DATABASE = (
    "The disk of the database server is full, so nothing was saved. An operator must free space on that"
    " disk. Then try again."
)


class DiskFullProblem(Problem):
    status = HTTPStatus.INSUFFICIENT_STORAGE
    type = "disk-full"


def full_disk_problem(error: BaseException) -> DiskFullProblem | None:
    """The problem to report if the exception was caused by a full disk; None for any other exception."""
    if isinstance(error, DatabaseError | psycopg.Error):
        # Django wraps the driver's errors, except those of COPY.
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        code = getattr(cause, "sqlstate", None)
        return DiskFullProblem(_DATABASE, type="database-disk-full") if code == _DISK_FULL else None
    if isinstance(error, DiskFull):
        return DiskFullProblem(str(error))
    if isinstance(error, OSError) and is_full(error):
        # The system's error does not name the disk. Of the disks to which Rankloop writes, the one with the
        # least free space is assumed to be full.
        folders = [Path(settings.ARTEFACTS), Path(tempfile.gettempdir())]
        return DiskFullProblem(str(DiskFull(min(folders, key=free_bytes))))
    return None
