"""A project's training loop. When there are enough new comparisons, the loop trains a reward model, improves
the policy and samples new responses for annotators to rank."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.ids import uuid7
from training.models.querysets import ProjectOwnedQuerySet


class Loop(models.Model):
    """A training loop, at most one per project. While the loop is `enabled`, training/loop/loops.py launches
    the loop's runs when they are due."""

    class Improve(models.TextChoices):
        REJECTION_SAMPLING = "rejection_sampling"
        RLOO = "rloo"
        PPO = "ppo"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.OneToOneField("annotation.Project", on_delete=models.CASCADE, related_name="loop")
    enabled = models.BooleanField(default=True)
    min_new_comparisons = models.PositiveIntegerField(default=200)
    improve_with = models.CharField(max_length=20, choices=Improve, default=Improve.PPO)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectOwnedQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(min_new_comparisons__gte=1), name="loop_waits_for_something"),
        ]

    def __str__(self) -> str:
        return f"loop of {self.project_id}"
