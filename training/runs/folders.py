"""What a run has on disk while it isn't over: a folder for each attempt with its half-written work, and in it
the checkpoints.

The attempt's number fences the files as it fences the rows: an attempt writes into its own folder only. A new
one takes the checkpoints of those before it over by renaming their folder into its own. Whoever held them and
is still alive somewhere, cut off from the database, then writes into a folder that nobody reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import Error as DatabaseTrouble
from django.utils import timezone

from training.models import TrainingRun

CHECKPOINTS = "checkpoints"
KEPT_AFTER_FAILURE = timedelta(days=7)


def work_folder(run: TrainingRun, attempt: int) -> Path:
    return run.folder / f"attempt-{attempt}"


def take_over_checkpoints(run: TrainingRun, attempt: int) -> Path:
    """The attempt's own folder of checkpoints, with what the newest attempt before it had; the folder need
    not exist."""
    mine = work_folder(run, attempt) / CHECKPOINTS
    for number, folder in sorted(_attempts(run), reverse=True):
        if number < attempt and not mine.exists() and any((folder / CHECKPOINTS).glob("step-*")):
            mine.parent.mkdir(parents=True, exist_ok=True)
            (folder / CHECKPOINTS).rename(mine)
    return mine


def tidy(run: TrainingRun, attempt: int) -> None:
    """After an attempt: what a finished model was has been renamed out of its folder, the rest is
    half-written. Checkpoints stay for as long as the run may be gone on with, which a failed one may be."""
    try:
        run.refresh_from_db(fields=["state"])
    except DatabaseTrouble:
        return  # who supervises this attempt, or ends the next one, does it
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
    """Everything but the log."""
    for _, folder in _attempts(run):
        shutil.rmtree(folder, ignore_errors=True)


def remove_expired() -> None:
    """What failed runs have kept for longer than anybody resumes one; each may hold several models' worth."""
    holding = {folder.parent.name for folder in (settings.ARTEFACTS / "runs").glob("*/attempt-*")}
    failed = TrainingRun.objects.filter(pk__in=holding, state=TrainingRun.State.FAILED)
    for run in failed.filter(finished_at__lt=timezone.now() - KEPT_AFTER_FAILURE):
        remove_attempts(run)


def _attempts(run: TrainingRun) -> Iterator[tuple[int, Path]]:
    for folder in run.folder.glob("attempt-*"):
        yield int(folder.name.removeprefix("attempt-")), folder
