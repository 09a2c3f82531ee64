"""The approval of a policy that has passed its gate, by an admin other than the one who started the round."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from annotation.models import User
from config.problems import Conflict, FieldProblem, Problem
from training.loop.gates.decisions import fail, pass_gate, replaced_incumbent
from training.loop.settled import Settled
from training.models import Gate, Round

NO_REASON = "State the reason for rejecting the model."


@transaction.atomic
def review_gate(*, gate: Gate, by: User, approved: bool, reason: str = "") -> Round:
    """Record that an admin approves or rejects the gate's model. The next time the round is advanced, it
    promotes the model or stops it (`settle_approval`). Returns the round.

    Raises Conflict if the gate waits for no approval, if its round has ended, if another admin was faster, or
    if `by` started the round. Raises Problem for a rejection without a reason.
    """
    if not approved and not reason.strip():
        raise Problem(NO_REASON, errors=[FieldProblem("reason", NO_REASON)])
    round = Round.objects.filter(steps__gate=gate).first()
    if round is None or round.state != Round.State.RUNNING or gate.state != Gate.State.AWAITING:
        raise Conflict(f"The gate of {gate.model.name} waits for no approval.", type="no-approval-needed")
    if round.started_by_id == by.pk:
        raise Conflict(
            f"You started round {round.number}, so another admin must approve its policy.",
            type="second-admin-required",
        )
    waiting = Gate.objects.filter(pk=gate.pk, state=Gate.State.AWAITING, reviewed_by=None)
    if not waiting.update(reviewed_by=by, approved=approved, review_reason=reason.strip()):
        raise Conflict(f"Another admin has already reviewed {gate.model.name}.", type="already-reviewed")
    return round


def settle_approval(gate: Gate, *, days: float) -> Settled | None:
    """Promote or stop the model after an admin's review, or return None while the gate waits for the review.
    After `days` without a review, the gate is undecided."""
    assert gate.awaiting_since is not None
    if gate.reviewed_by is None:
        if timezone.now() < gate.awaiting_since + timedelta(days=days):
            return None
        expired = f"{gate.reason} No admin approved the policy within {days:g} days."
        return fail(gate, Gate.State.UNDECIDED, expired)
    if not gate.approved:
        rejected = f"{gate.reason} Rejected by {gate.reviewed_by.username}: {gate.review_reason}"
        return fail(gate, Gate.State.FAILED, rejected)
    if replaced := replaced_incumbent(gate):
        return fail(gate, Gate.State.UNDECIDED, f"{gate.reason} {replaced}")
    return pass_gate(gate, f"{gate.reason} Approved by {gate.reviewed_by.username}.")
