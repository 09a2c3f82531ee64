from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotation.ids import uuid7
from annotation.models.people import User
from annotation.models.project import Project

MAX_URL_CHARACTERS = 2000


class WebhookEvent(models.TextChoices):
    RANKING_SUBMITTED = "ranking.submitted"
    TASK_FINISHED = "task.finished"
    SNAPSHOT_FROZEN = "snapshot.frozen"
    RUN_FINISHED = "run.finished"
    ROUND_FINISHED = "round.finished"
    GATE_OPENED = "gate.opened"
    MODEL_PROMOTED = "model.promoted"


# The test event is sent to one endpoint at a manager's request, regardless of the endpoint's subscriptions.
TEST_EVENT = "webhook.test"
DELIVERED_EVENTS = [*WebhookEvent.choices, (TEST_EVENT, "Test")]


class WebhookEndpoint(models.Model):
    """An address that receives events. The signing secret is stored encrypted (`webhooks.signing`)."""

    class State(models.TextChoices):
        ACTIVE = "active"
        DISABLED = "disabled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="webhooks")
    url = models.CharField(max_length=MAX_URL_CHARACTERS)
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=40, choices=WebhookEvent.choices))
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    disabled_reason = models.CharField(max_length=500, blank=True)
    encrypted_secret = models.TextField()
    encrypted_former_secret = models.TextField(blank=True)
    former_secret_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Until this time, deliveries are also signed with the previous secret.",
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="The first failure since the last success."
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(events__contained_by=WebhookEvent.values) & Q(events__len__gte=1),
                name="webhook_events_known",
            )
        ]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One event for one endpoint; the table is an outbox. Triggers write the row in the event's transaction
    (sql/webhook.sql). An event is therefore sent if and only if its transaction was committed."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    message_id = models.UUIDField(unique=True, help_text="Sent in `webhook-id`; the same in every attempt.")
    event = models.CharField(max_length=40, choices=DELIVERED_EVENTS)
    payload: models.JSONField[Any, Any] = models.JSONField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(
        default=0,
        help_text="Attempts since the delivery was created or redelivered; the retry schedule depends on"
        " this number.",
    )
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | ~Q(state="pending") & Q(next_attempt_at__isnull=True),
                name="webhook_delivery_is_due_or_over",
            )
        ]
        indexes = [
            # This index finds due deliveries. It contains no finished deliveries.
            models.Index(fields=["next_attempt_at"], condition=Q(state="pending"), name="webhook_due"),
            # This index serves the list of an endpoint's deliveries, newest first.
            models.Index(fields=["endpoint", "-id"], name="webhook_newest"),
            # This index finds old deliveries to delete.
            models.Index(fields=["finished_at"], condition=~Q(state="pending"), name="webhook_over"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.message_id}"


class WebhookAttempt(models.Model):
    """The outcome of one delivery attempt: an HTTP status, or an error if there was no response."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(WebhookDelivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField(db_default=Now())
    status = models.PositiveSmallIntegerField(null=True)
    latency_ms = models.PositiveIntegerField()
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.status or self.error} ({self.latency_ms} ms)"
