"""A project's training loop. When there are enough new comparisons, or on a schedule, the loop starts a round
(`round.py`)."""

from __future__ import annotations

from django.db import models

from annotation.ids import uuid7
from training.models.querysets import ProjectOwnedQuerySet


class Loop(models.Model):
    """A training loop, at most one per project. While the loop is `enabled`, training/loop/turning.py starts
    rounds when they are due. `settings` are the fields of training/loop/settings.py that a user has set."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.OneToOneField("annotation.Project", on_delete=models.CASCADE, related_name="loop")
    enabled = models.BooleanField(default=False)
    settings = models.JSONField(default=dict)
    # The latest scheduled time that has been handled, or the time at which the schedule was set. A scheduled
    # time that passed while the service was down is later than this value and counts as missed.
    scheduled_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectOwnedQuerySet.as_manager()

    def __str__(self) -> str:
        return f"loop of {self.project_id}"
