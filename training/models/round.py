"""The rounds of a training loop and their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings as django_settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotation.ids import uuid7
from annotation.models import DatasetSnapshot

if TYPE_CHECKING:
    from annotation.models import User


GATE = ("gate__model", "gate__incumbent", "gate__project", "gate__reviewed_by")


class RoundQuerySet(models.QuerySet["Round"]):
    def visible_to(self, user: User) -> RoundQuerySet:
        """The rounds of the loops that the user may see (see `ProjectOwnedQuerySet`)."""
        from training.models.loop import Loop

        return self.filter(loop__in=Loop.objects.visible_to(user))

    def with_steps(self) -> RoundQuerySet:
        """Also load the loop, its project, the snapshot and the steps with their runs."""
        steps = models.Prefetch("steps", RoundStep.objects.select_related("run", *GATE).order_by("position"))
        return self.select_related(
            "loop__project", "snapshot", "started_by", "starting_policy"
        ).prefetch_related(steps)


class Round(models.Model):
    """running → succeeded | stopped | failed | cancelled; or skipped, without steps.

    A `stopped` round was ended by a gate. A failed or cancelled round can be resumed (loop/rounds.py).
    """

    class State(models.TextChoices):
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        STOPPED = "stopped"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SKIPPED = "skipped"

    class Trigger(models.TextChoices):
        COMPARISONS = "comparisons"
        SCHEDULE = "schedule"
        MANUAL = "manual"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    loop = models.ForeignKey("training.Loop", on_delete=models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    # The reason why the round ended in its state, as text for users. Empty while the round is running.
    reason = models.TextField(default="", blank=True)
    trigger = models.CharField(max_length=12, choices=Trigger)
    new_comparisons = models.PositiveIntegerField()
    # The settings with which the round started, complete with defaults.
    settings = models.JSONField()
    snapshot = models.ForeignKey(DatasetSnapshot, null=True, on_delete=models.PROTECT, related_name="rounds")
    # The policy that the round improves. Null if the project had no policy when the round started.
    starting_policy = models.ForeignKey(
        "training.ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    started_by = models.ForeignKey(
        django_settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    objects = RoundQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["loop", "number"], name="round_number_once"),
            models.UniqueConstraint(
                fields=["loop"], condition=Q(state="running"), name="one_running_round_per_loop"
            ),
            models.CheckConstraint(
                condition=Q(state="running", finished_at__isnull=True)
                | Q(
                    state__in=["succeeded", "stopped", "failed", "cancelled", "skipped"],
                    finished_at__isnull=False,
                ),
                name="round_finished_when_final",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["running", "succeeded"]) | ~Q(reason=""), name="round_end_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"round {self.number} of loop {self.loop_id}"


class RoundStep(models.Model):
    """pending → running → succeeded | stopped | failed | cancelled; or skipped.

    In an `improve`, `answer_new` or `policy_gate` step, `subject` is the run kind that makes the new policy.
    """

    class Kind(models.TextChoices):
        FREEZE = "freeze"
        EXPORT = "export"
        REWARD_MODEL = "reward_model"
        REWARD_MODEL_GATE = "reward_model_gate"
        IMPROVE = "improve"
        ANSWER_CURRENT = "answer_current"
        ANSWER_NEW = "answer_new"
        POLICY_GATE = "policy_gate"
        SAMPLE = "sample"

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        STOPPED = "stopped"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SKIPPED = "skipped"

    FINAL_STATES = (State.SUCCEEDED, State.STOPPED, State.FAILED, State.CANCELLED, State.SKIPPED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    round = models.ForeignKey(Round, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=20, choices=Kind)
    subject = models.CharField(max_length=20, default="", blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    reason = models.TextField(default="", blank=True)
    outcome = models.JSONField(default=dict)
    run = models.OneToOneField(
        "training.TrainingRun", null=True, on_delete=models.PROTECT, related_name="round_step"
    )
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "position"], name="round_step_position_once"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running"], finished_at__isnull=True)
                | Q(
                    state__in=["succeeded", "stopped", "failed", "cancelled", "skipped"],
                    finished_at__isnull=False,
                ),
                name="round_step_finished_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of round {self.round_id}"
