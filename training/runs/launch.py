"""Launch and resume runs: validate the request, store the run, and wake a worker once the row is
committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from annotation.models import Project, User
from config.problems import FieldProblem, Problem
from training.models import RunEvent, TrainingRun
from training.runs.estimates.refusal import refuse_unfit
from training.runs.inputs import settle_inputs, settle_models
from training.runs.progress.events import CHANNEL
from training.runs.recipes.catalog import parse_recipe, preset_settings, stored_recipe
from training.runs.transitions import requeue_finished
from training.runs.wake import wake_worker


def launch_run(
    *,
    project: Project,
    kind: str,
    recipe: Mapping[str, Any],
    inputs: Mapping[str, str],
    user: User | None,
    preset: str = "default",
    force: bool = False,
) -> TrainingRun:
    """Queue a run. Recipe settings override the preset's settings. Raises Problem, and writes nothing, for an
    invalid kind, preset, setting or input. Raises DoesNotFit if no running worker has enough memory, unless
    `force` is true."""
    settings = parse_recipe(kind=kind, settings=preset_settings(kind=kind, preset=preset) | dict(recipe))
    # The checks of the models read files and can take seconds, so they run before the transaction.
    found = settle_models(project=project, kind=kind, recipe=settings, given=inputs)
    models, errors = found
    if not errors and not force:
        refuse_unfit(
            project=project,
            kind=kind,
            recipe=settings,
            models=models,
            snapshot=inputs.get("snapshot", ""),
        )
    with transaction.atomic():
        settled = settle_inputs(
            project=project, kind=kind, recipe=settings, given=inputs, found=found, user=user
        )
        run = TrainingRun.objects.create(
            project=project,
            kind=kind,
            recipe=settings.model_dump(mode="json"),
            inputs=settled,
            created_by=user,
            woken_at=timezone.now(),
            last_seq=1,
        )
        RunEvent.objects.create(
            run=run, seq=1, attempt=0, type=RunEvent.Type.STATE, step=0, data={"state": run.state}
        )
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(run.id)])
        wake_worker(run_id=run.id)
    run.refresh_from_db(fields=["phase"])  # set by wake_worker if the message queue is not responding
    return run


def resume_run(
    *, run: TrainingRun, max_minutes: float | None = None, other_device: bool | None = None
) -> TrainingRun:
    """Queue a failed or cancelled run again. If given, `max_minutes` is the run's new time limit, and
    `other_device` states whether the run may continue on another kind of device. Raises Conflict if the run
    is in any other state. Raises Problem if the run's attempts have already taken as long as the limit
    allows, or if this version refuses the run's recipe.

    The run resumes from its newest checkpoint, or starts from the beginning if there is none. Checkpoints are
    kept for KEPT_FOR_RESUMING (folders.py).
    """
    recipe = stored_recipe(kind=run.kind, settings=run.recipe).model_dump(mode="json")
    with transaction.atomic():
        given = {"max_minutes": max_minutes, "other_device": other_device}
        if changes := {name: value for name, value in given.items() if value is not None}:
            changed = parse_recipe(kind=run.kind, settings=recipe | changes)
            run.recipe = changed.model_dump(mode="json")
            run.save(update_fields=["recipe"])
        requeue_finished(run=run)
        _refuse_used_time(run)
        wake_worker(run_id=run.id)
    run.refresh_from_db()
    return run


def _refuse_used_time(run: TrainingRun) -> None:
    limit, used = run.recipe.get("max_minutes"), run.spent_seconds / 60
    if limit is not None and used >= limit:
        reason = f"The run has already used {used:.0f} of {limit:g} minutes. Set a higher time limit."
        raise Problem(reason, errors=[FieldProblem("max_minutes", reason)])
