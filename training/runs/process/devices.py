"""A run keeps its kind of device: a run that started on a GPU doesn't silently continue on a CPU."""

from __future__ import annotations

from functools import partial

from annotation.database.outages import through_outages
from training.models import TrainingRun
from training.rlhf.core.devices import default_device, refuse_other_device
from training.rlhf.recipes.parts.base import KeepsDevice, Recipe
from training.runs.transitions import note_device


def keep_device(run: TrainingRun, attempt: int, recipe: Recipe) -> None:
    """Record the kind of device of this attempt. Raises DeviceDiffers if the run has started on another kind
    and its recipe doesn't allow a change."""
    now = default_device().type
    allowed = isinstance(recipe, KeepsDevice) and recipe.other_device
    refuse_other_device(run.device, now, allowed=allowed)
    through_outages(partial(note_device, run_id=run.pk, attempt=attempt, device=now))
