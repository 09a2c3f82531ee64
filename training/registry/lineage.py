"""Where a model comes from, and what used it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annotation.models import DatasetSnapshot, Response
from training.models import ModelVersion, TrainingRun

NEWEST_RUNS = 50


@dataclass(frozen=True)
class Lineage:
    """`ancestors` starts with the parent. `snapshot` and `reward_models` are inputs of the run that made the
    model. `children` are the models that were trained from this model. `used_by` contains the newest runs
    with this model as an input. `responses` is the number of the project's responses that the model wrote."""

    ancestors: list[ModelVersion]
    snapshot: DatasetSnapshot | None
    reward_models: list[ModelVersion]
    children: list[ModelVersion]
    used_by: list[TrainingRun]
    responses: int


def lineage_of(model: ModelVersion) -> Lineage:
    """Executes the same number of queries for a lineage of any length."""
    columns = ("name", "kind", "stage", "parent_id")
    models = ModelVersion.objects.filter(project=model.project_id).only(*columns).in_bulk()
    inputs: Mapping[str, Any] = model.run.inputs if model.run else {}
    judges = {name for key, name in inputs.items() if key.startswith("reward_model")}
    return Lineage(
        ancestors=list(_ancestors(model, models)),
        snapshot=DatasetSnapshot.objects.filter(
            project=model.project_id, name=inputs.get("snapshot", "")
        ).first(),
        reward_models=[one for one in models.values() if one.name in judges],
        children=[one for one in models.values() if one.parent_id == model.pk],
        used_by=list(
            TrainingRun.objects.filter(project=model.project_id)
            .extra(
                where=["EXISTS (SELECT FROM jsonb_each_text(inputs) WHERE key <> 'snapshot' AND value = %s)"],
                params=[model.name],
            )
            .order_by("-created_at")[:NEWEST_RUNS]
        ),
        responses=Response.objects.filter(prompt__project=model.project_id, model_name=model.name).count(),
    )


def _ancestors(model: ModelVersion, models: Mapping[UUID, ModelVersion]) -> Iterator[ModelVersion]:
    parent = model.parent_id and models.get(model.parent_id)
    while parent:
        yield parent
        parent = parent.parent_id and models.get(parent.parent_id)
