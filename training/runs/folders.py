"""The files of an unfinished run: one folder per attempt, with its unfinished work and its checkpoints.

The attempt number fences files as well as rows: an attempt writes only to its own folder. A new attempt takes
over earlier attempts' checkpoints by moving the checkpoint folder into its own folder. An earlier attempt
that has lost access to the database can still be running. Such an attempt writes only to its own folder,
which is no longer read.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotation.database.outages import through_outages
from storage import durable
from training.models import TrainingRun

CHECKPOINTS = "checkpoints"
REWARDS = "rewards_of_prompts.jsonl"  # rewards for the choice of prompts (process/datasets/varied.py)
KEPT_FOR_RESUMING = timedelta(days=7)
RESUMABLE = (TrainingRun.State.FAILED, TrainingRun.State.CANCELLED)


def work_folder(run: TrainingRun, attempt: int) -> Path:
    return run.folder / f"attempt-{attempt}"


def take_over_checkpoints(run: TrainingRun, attempt: int) -> Path:
    """Find the newest earlier attempt that has checkpoints, and move its checkpoints to the checkpoint folder
    of `attempt`, unless that folder already exists. Return the folder, which might not exist yet."""
    mine = work_folder(run, attempt) / CHECKPOINTS
    for number, folder in sorted(_attempts(run), reverse=True):
        # Parts of a run, such as the members of an ensemble, keep their checkpoints in subfolders.
        if number < attempt and not mine.exists() and _is_resumable(folder / CHECKPOINTS):
            durable.make_folders(mine.parent)
            durable.publish(folder / CHECKPOINTS, mine, synced=True)
            for unfinished in list(mine.rglob(".step-*")):
                shutil.rmtree(unfinished, ignore_errors=True)
    return mine


def is_saving(run: TrainingRun, attempt: int) -> bool:
    """Return whether the attempt's process is writing a checkpoint."""
    try:
        return any((work_folder(run, attempt) / CHECKPOINTS).rglob(".step-*"))
    except FileNotFoundError:  # an old checkpoint has just been removed, after a new one was written
        return False


def tidy(run: TrainingRun, attempt: int) -> None:
    """Clean up after an attempt. The files of a finished model are also in the model's own folder, so nothing
    in the attempt's folder is needed except its checkpoints. Checkpoints stay as long as the run can be
    resumed: until it has succeeded, or for KEPT_FOR_RESUMING after it failed or was cancelled."""
    through_outages(partial(run.refresh_from_db, fields=["state"]))
    if run.state == TrainingRun.State.SUCCEEDED:
        remove_attempts(run)
        return
    through_outages(partial(_note_checkpoint, run, attempt))
    _keep_checkpoints(work_folder(run, attempt))


def keep_checkpoints(run: TrainingRun) -> None:
    """Remove the unfinished work of all attempts, but not their checkpoints."""
    for _, folder in _attempts(run):
        _keep_checkpoints(folder)


def remove_attempts(run: TrainingRun) -> None:
    """Remove all files of a run except its log."""
    for _, folder in _attempts(run):
        shutil.rmtree(folder, ignore_errors=True)


def remove_expired() -> None:
    """Remove the files of runs that failed or were cancelled more than KEPT_FOR_RESUMING ago. One run's files
    can take as much space as several models."""
    holding = {folder.parent.name for folder in (settings.ARTEFACTS / "runs").glob("*/attempt-*")}
    over = TrainingRun.objects.filter(state__in=RESUMABLE)
    expired = over.filter(pk__in=holding, finished_at__lt=timezone.now() - KEPT_FOR_RESUMING)
    for key in expired.values_list("pk", flat=True):
        # The lock keeps the run from being resumed and claimed while its files are removed.
        with transaction.atomic():
            for run in expired.filter(pk=key).select_for_update(no_key=True):
                remove_attempts(run)
                over.filter(pk=key).update(checkpoint_step=None, checkpoint_at=None)


def _note_checkpoint(run: TrainingRun, attempt: int) -> None:
    """Record the attempt's newest checkpoint. A process can be killed after writing the checkpoint but before
    reporting it."""
    steps = [
        (int(number), folder)
        for folder in (work_folder(run, attempt) / CHECKPOINTS).glob("step-*")
        if (number := folder.name.removeprefix("step-")).isdecimal()
    ]
    if not steps:
        return
    named, newest = max(steps)
    with suppress(FileNotFoundError):  # a later attempt is taking over the checkpoints
        step = _step_of(newest, named)
        at = datetime.fromtimestamp(newest.stat().st_mtime, UTC)
        mine = TrainingRun.objects.filter(pk=run.pk, attempt=attempt).exclude(checkpoint_step__gte=step)
        mine.update(checkpoint_step=step, checkpoint_at=at)


def _step_of(checkpoint: Path, named: int) -> int:
    """Return the loop's step in a checkpoint. Some loops number their checkpoints differently from their
    steps."""
    try:
        return int(json.loads((checkpoint / "state.json").read_text())["loop"].get("step", named))
    except (OSError, ValueError, KeyError):
        return named


def _keep_checkpoints(work: Path) -> None:
    is_resumable = _is_resumable(work / CHECKPOINTS)
    for path in work.glob("*"):
        if path.name != CHECKPOINTS or not is_resumable:
            shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        work.rmdir()


def _is_resumable(checkpoints: Path) -> bool:
    """Return whether the folder contains work from which the next attempt can continue."""
    return (checkpoints / REWARDS).exists() or any(checkpoints.rglob("step-*"))


def _attempts(run: TrainingRun) -> Iterator[tuple[int, Path]]:
    for folder in run.folder.glob("attempt-*"):
        yield int(folder.name.removeprefix("attempt-")), folder
