"""The decisions about a gate: passed, not passed, or waiting for an admin's approval."""

from __future__ import annotations

from django.db.models.functions import Now

from training.loop.settled import Settled, running, stopped, succeeded
from training.models import Gate, ModelVersion
from training.registry.stages import promote_model


def pass_gate(gate: Gate, reason: str) -> Settled:
    gate.state, gate.reason, gate.decided_at = Gate.State.PASSED, reason, Now()
    gate.save()
    promote_model(model=gate.model, by=gate.reviewed_by, gate=gate)
    return succeeded(reason, gate=str(gate.pk), promoted=gate.model.name)


def fail(gate: Gate, state: Gate.State, reason: str) -> Settled:
    gate.state, gate.reason, gate.decided_at = state, reason, Now()
    gate.save()
    return stopped(f"{gate.model.name} was not promoted. {reason}", gate=str(gate.pk))


def await_approval(gate: Gate, reason: str) -> Settled:
    gate.state, gate.reason, gate.awaiting_since = Gate.State.AWAITING, reason, Now()
    gate.save()
    return running(None, gate=str(gate.pk))


def replaced_incumbent(gate: Gate) -> str:
    """Why the gate's comparison was not with the policy that is now in production, or an empty string."""
    now = ModelVersion.objects.filter(
        project=gate.model.project_id, kind=gate.model.kind, stage=ModelVersion.Stage.PRODUCTION
    ).first()
    if now is None or now == gate.incumbent or gate.incumbent is None:
        return ""
    return (
        f"{now.name} was promoted while the gate was open, but the comparison was with {gate.incumbent.name}."
    )
