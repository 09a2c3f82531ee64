"""The stages of a model: candidate, production and archived. Each project has at most one policy and one
reward model in production. Every change is recorded as a StageChange."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from annotation.models import Project, User
from config.problems import Conflict, FieldProblem, Problem
from training.models import Gate, ModelVersion, StageChange
from training.runs.inputs import missing_weights
from training.runs.model_files import changed_size

Stage = ModelVersion.Stage


@transaction.atomic
def promote_model(
    *, model: ModelVersion, by: User | None, gate: Gate | None = None, reason: str = ""
) -> ModelVersion:
    """Make the model the project's production model of its kind. The previous production model becomes a
    candidate. Promoting the current production model is a no-op.

    A promotion rests on a gate that the model has passed: on `gate` or, by default, on the newest such gate.
    Without such a gate, an admin must give a reason. Raises Problem if there is neither a gate nor a reason,
    if the model's weights are missing, if a file was added or removed, or if a file's size has changed.
    """
    if unusable := missing_weights(model) or changed_size(model):
        raise Problem(f"{unusable} The model can't be promoted.")
    gate = gate or model.gates.filter(state=Gate.State.PASSED).order_by("-decided_at").first()
    if gate is None and not reason.strip():
        missing = f"{model.name} has passed no gate. State the reason for promoting the model anyway."
        raise Problem(missing, type="gate-required", errors=[FieldProblem("reason", missing)])
    # Of two concurrent promotions, the second waits here and then replaces the model promoted by the first.
    Project.objects.select_for_update(no_key=True).get(pk=model.project_id)
    model.refresh_from_db(fields=["stage"])
    if model.stage == Stage.PRODUCTION:
        return model
    others = ModelVersion.objects.filter(project=model.project_id, kind=model.kind, stage=Stage.PRODUCTION)
    for other in others:
        replaced = f"Replaced by {model.name}."
        _change(other, before=Stage.PRODUCTION, after=Stage.CANDIDATE, by=by, reason=replaced)
    _change(model, before=model.stage, after=Stage.PRODUCTION, by=by, gate=gate, reason=reason)
    return model


@transaction.atomic
def demote_model(
    *, model: ModelVersion, by: User | None, reason: str, roll_back: bool = False
) -> ModelVersion:
    """production → candidate. With `roll_back`, the previous production model is promoted again.

    Raises Conflict if the model is not in production, or if `roll_back` is true and there is no earlier model
    to promote. Raises Problem if there is no reason, or if the earlier model can't be promoted.
    """
    if not reason.strip():
        missing = "State the reason for demoting the model."
        raise Problem(missing, errors=[FieldProblem("reason", missing)])
    Project.objects.select_for_update(no_key=True).get(pk=model.project_id)
    model.refresh_from_db(fields=["stage"])
    if model.stage != Stage.PRODUCTION:
        raise Conflict(f"{model.name} is not in production.")
    if not roll_back:
        _change(model, before=Stage.PRODUCTION, after=Stage.CANDIDATE, by=by, reason=reason)
        return model
    earlier = _earlier_production_model(model)
    if earlier is None:
        raise Conflict(
            f"No model was in production before {model.name}, so there is nothing to roll back to."
        )
    promote_model(model=earlier, by=by, reason=reason)
    model.refresh_from_db(fields=["stage"])
    return model


def _earlier_production_model(model: ModelVersion) -> ModelVersion | None:
    """The unarchived model that was promoted most recently before `model`, or None."""
    promoted = StageChange.objects.filter(
        model__project=model.project_id, model__kind=model.kind, after=Stage.PRODUCTION
    )
    latest = promoted.filter(model=model).order_by("-created_at").first()
    before = promoted.exclude(model=model).exclude(model__stage=Stage.ARCHIVED)
    if latest is not None:
        before = before.filter(created_at__lt=latest.created_at)
    found = before.select_related("model").order_by("-created_at").first()
    return found.model if found else None


@transaction.atomic
def archive_model(*, model: ModelVersion, by: User | None = None, reason: str = "") -> ModelVersion:
    """candidate → archived: runs can no longer use the model, but its files and lineage are kept. Raises
    Conflict for the production model."""
    Project.objects.select_for_update(no_key=True).get(pk=model.project_id)
    model.refresh_from_db(fields=["stage"])
    if model.stage == Stage.PRODUCTION:
        raise Conflict(f"{model.name} is in production. Promote another {model.kind} first.")
    if model.stage == Stage.CANDIDATE:
        _change(model, before=Stage.CANDIDATE, after=Stage.ARCHIVED, by=by, reason=reason)
    return model


def history_of(model: ModelVersion) -> dict[str, Any]:
    """The model's gates and the changes of its stage, each newest first."""
    gates = model.gates.select_related("model", "incumbent", "project", "reviewed_by")
    return {
        "changes": model.stage_changes.select_related("by").order_by("-created_at"),
        "gates": gates.order_by("-created_at"),
    }


def _change(
    model: ModelVersion,
    *,
    before: str,
    after: str,
    by: User | None,
    gate: Gate | None = None,
    reason: str = "",
) -> None:
    """Change the stage and record the change. The caller holds the project's lock."""
    if not ModelVersion.objects.filter(pk=model.pk, stage=before).update(stage=after):
        raise Conflict(f"The stage of {model.name} has changed in the meantime. Reload, and try again.")
    model.stage = after
    StageChange.objects.create(model=model, before=before, after=after, by=by, gate=gate, reason=reason)
