"""The stages of a model: candidate, production and archived. Each project has at most one policy and one
reward model in production."""

from __future__ import annotations

from django.db import transaction

from annotation.models import Project
from config.problems import Conflict, Problem
from training.models import ModelVersion
from training.runs.inputs import missing_weights
from training.runs.model_files import changed_size

Stage = ModelVersion.Stage


@transaction.atomic
def promote_model(*, model: ModelVersion) -> ModelVersion:
    """Make the model the project's production model of its kind. The previous production model becomes a
    candidate; promote that model again to roll back. Promoting the current production model is a no-op.
    Raises Problem if the model's weights are missing, if a file was added or removed, or if a file's size has
    changed."""
    if reason := missing_weights(model) or changed_size(model):
        raise Problem(f"{reason} The model can't be promoted.")
    # Of two concurrent promotions, the second waits here and then replaces the model promoted by the first.
    Project.objects.select_for_update(no_key=True).get(pk=model.project_id)
    siblings = ModelVersion.objects.filter(project=model.project_id, kind=model.kind)
    siblings.filter(stage=Stage.PRODUCTION).exclude(pk=model.pk).update(stage=Stage.CANDIDATE)
    siblings.filter(pk=model.pk).exclude(stage=Stage.PRODUCTION).update(stage=Stage.PRODUCTION)
    model.refresh_from_db()
    return model


def archive_model(*, model: ModelVersion) -> ModelVersion:
    """candidate → archived: runs can no longer use the model, but its files and lineage are kept. Raises
    Conflict for the production model."""
    ModelVersion.objects.filter(pk=model.pk, stage=Stage.CANDIDATE).update(stage=Stage.ARCHIVED)
    model.refresh_from_db()
    if model.stage != Stage.ARCHIVED:
        raise Conflict(f"{model.name} is in production. Promote another {model.kind} first.")
    return model
