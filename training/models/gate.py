"""Gates, and the history of models' stages."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotation.ids import uuid7
from training.models.model_version import ModelVersion


class Gate(models.Model):
    """The record of a decision about a model: open → passed | failed | undecided. If an admin has to approve
    the result, a gate that would have passed is `awaiting`, and then passed, failed or undecided.

    `checks` is a list of {name, passed, value, low, high, bound, detail}. `comparison` is the state of the
    human comparison: {answers, wins, ties, losses, win_rate, low, high, budget, verdict}; empty for gates
    without a human comparison. `win_rates` contains comparisons of the same form by other judges on the same
    answers: `reward_model` (the round's reward model) and `gold` (the demo world's true reward). The gold win
    rate is only shown, and decides nothing.
    """

    class State(models.TextChoices):
        OPEN = "open"
        AWAITING = "awaiting"
        PASSED = "passed"
        FAILED = "failed"
        UNDECIDED = "undecided"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="gates")
    # The model with which the new model is compared. Null for a project's first model of this kind.
    incumbent = models.ForeignKey(ModelVersion, null=True, on_delete=models.PROTECT, related_name="+")
    step = models.OneToOneField(
        "training.RoundStep", null=True, on_delete=models.SET_NULL, related_name="gate"
    )
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.TextField(default="", blank=True)
    checks = models.JSONField(default=list)
    comparison = models.JSONField(default=dict)
    win_rates = models.JSONField(default=dict)
    # The ranking project of the blind human comparison.
    project = models.OneToOneField(
        "annotation.Project", null=True, on_delete=models.PROTECT, related_name="gate"
    )
    # When the gate began to wait for an admin's approval, the admin who reviewed the model, and the result.
    awaiting_since = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    approved = models.BooleanField(null=True)
    review_reason = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="awaiting") | Q(awaiting_since__isnull=False),
                name="gate_awaiting_since_a_time",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by__isnull=True, approved__isnull=True)
                | Q(reviewed_by__isnull=False, approved=True)
                | (Q(reviewed_by__isnull=False, approved=False) & ~Q(review_reason="")),
                name="gate_review_has_a_result",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "awaiting"], decided_at__isnull=True)
                | Q(state__in=["passed", "failed", "undecided"], decided_at__isnull=False),
                name="gate_decided_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"gate of {self.model_id}"


class StageChange(models.Model):
    """A change of a model's stage: what changed, who changed it and why. Rows are added, but never changed or
    removed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="stage_changes")
    before = models.CharField(max_length=12, choices=ModelVersion.Stage)
    after = models.CharField(max_length=12, choices=ModelVersion.Stage)
    gate = models.ForeignKey(Gate, null=True, on_delete=models.PROTECT, related_name="stage_changes")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # A promotion rests on a gate or on an administrator's reason.
            models.CheckConstraint(
                condition=~Q(after="production") | Q(gate__isnull=False) | ~Q(reason=""),
                name="promotion_has_a_gate_or_a_reason",
            ),
        ]
        indexes = [
            # This index serves the history on a model's page, which lists the newest change first.
            models.Index(fields=["model", "-created_at"], name="stage_change_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.before} → {self.after} of {self.model_id}"
