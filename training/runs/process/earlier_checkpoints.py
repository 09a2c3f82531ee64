"""Train from the checkpoints of a run's earlier attempts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from annotation.database.outages import through_outages
from training.rlhf.core.checkpoint import CheckpointRefused
from training.runs.folders import take_over_checkpoints
from training.runs.process.job import Job
from training.runs.transitions import forget_checkpoint

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def resumed(job: Job, train: Callable[[Path], Result]) -> Result:
    """Call `train` with the attempt's checkpoint folder, which contains the checkpoints of earlier attempts.

    If `train` refuses the checkpoints, they are removed, and training starts from the beginning. Checkpoints
    are refused if they are damaged, or if another version of Rankloop wrote them and read the run's inputs
    differently.
    """
    checkpoints = take_over_checkpoints(job.run, job.attempt)
    try:
        return train(checkpoints)
    except CheckpointRefused as refused:
        logger.warning("Training starts from the beginning, without the checkpoints: %s", refused)
    # This code is outside the `except` block, because the exception holds the models of the first call in
    # memory.
    shutil.rmtree(checkpoints)
    through_outages(partial(forget_checkpoint, run_id=job.run.pk, attempt=job.attempt))
    return train(checkpoints)
