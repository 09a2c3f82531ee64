"""The files of an unfinished run: one folder per attempt, with its unfinished work and its checkpoints.

The attempt number fences files as well as rows: an attempt writes only to its own folder. A new attempt takes
over earlier attempts' checkpoints by moving the checkpoint folder into its own folder. An earlier attempt
that has lost access to the database can still be running. The earlier attempt then writes only to its own
folder, which is no longer read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from annotation.database.outages import through_outages
from storage import durable
from training.models import TrainingRun

CHECKPOINTS = "checkpoints"
KEPT_AFTER_FAILURE = timedelta(days=7)


def work_folder(run: TrainingRun, attempt: int) -> Path:
    return run.folder / f"attempt-{attempt}"


def take_over_checkpoints(run: TrainingRun, attempt: int) -> Path:
    """The attempt's own checkpoint folder, with the checkpoints of the newest earlier attempt. The folder
    might not exist yet."""
    mine = work_folder(run, attempt) / CHECKPOINTS
    for number, folder in sorted(_attempts(run), reverse=True):
        if number < attempt and not mine.exists() and any((folder / CHECKPOINTS).glob("step-*")):
            durable.make_folders(mine.parent)
            durable.publish(folder / CHECKPOINTS, mine, synced=True)
    return mine


def tidy(run: TrainingRun, attempt: int) -> None:
    """Clean up after an attempt. A finished model has already been moved out of the attempt's folder, so the
    rest is unfinished work. Checkpoints stay as long as the run can be resumed, so a failed run keeps
    its checkpoints."""
    through_outages(partial(run.refresh_from_db, fields=["state"]))
    if run.state in {TrainingRun.State.SUCCEEDED, TrainingRun.State.CANCELLED}:
        remove_attempts(run)
        return
    work = work_folder(run, attempt)
    for path in work.glob("*"):
        if path.name != CHECKPOINTS:
            shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        work.rmdir()


def remove_attempts(run: TrainingRun) -> None:
    """Remove all files of a run except its log."""
    for _, folder in _attempts(run):
        shutil.rmtree(folder, ignore_errors=True)


def remove_expired() -> None:
    """Remove the files of runs that failed more than KEPT_AFTER_FAILURE ago. One run's files can take as much
    space as several models."""
    holding = {folder.parent.name for folder in (settings.ARTEFACTS / "runs").glob("*/attempt-*")}
    failed = TrainingRun.objects.filter(pk__in=holding, state=TrainingRun.State.FAILED)
    for run in failed.filter(finished_at__lt=timezone.now() - KEPT_AFTER_FAILURE):
        remove_attempts(run)


def _attempts(run: TrainingRun) -> Iterator[tuple[int, Path]]:
    for folder in run.folder.glob("attempt-*"):
        yield int(folder.name.removeprefix("attempt-")), folder
