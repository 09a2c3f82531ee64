"""Stages of a model: candidate → production → archived. At most one policy and one reward model in
production."""

from __future__ import annotations

from django.db import transaction

from annotation.models import Project
from config.problems import Conflict, Problem
from training.models import ModelVersion
from training.runs.inputs import missing_weights

Stage = ModelVersion.Stage


@transaction.atomic
def promote_model(*, model: ModelVersion) -> ModelVersion:
    """Make it the project's production model of its kind; the one before becomes a candidate again (roll back
    by promoting that). Promoting the production model changes nothing. Raises Problem when its weights are
    gone."""
    if reason := missing_weights(model):
        raise Problem(f"{reason} It can't serve.")
    # Two promotions at once: the second waits here, then takes the first one's place.
    Project.objects.select_for_update(no_key=True).get(pk=model.project_id)
    siblings = ModelVersion.objects.filter(project=model.project_id, kind=model.kind)
    siblings.filter(stage=Stage.PRODUCTION).exclude(pk=model.pk).update(stage=Stage.CANDIDATE)
    siblings.filter(pk=model.pk).exclude(stage=Stage.PRODUCTION).update(stage=Stage.PRODUCTION)
    model.refresh_from_db()
    return model


def archive_model(*, model: ModelVersion) -> ModelVersion:
    """candidate → archived: no longer offered to runs; files and lineage stay. Raises Conflict for the one in
    production."""
    ModelVersion.objects.filter(pk=model.pk, stage=Stage.CANDIDATE).update(stage=Stage.ARCHIVED)
    model.refresh_from_db()
    if model.stage != Stage.ARCHIVED:
        raise Conflict(f"{model.name} is in production; promote another {model.kind} first.")
    return model
