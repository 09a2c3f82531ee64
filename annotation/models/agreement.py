from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.project import Project
from annotation.models.task import RankingTask


class TaskAgreement(models.Model):
    """How far those agree who ranked a task twice or more. Its trigger marks it `stale` with every ranking
    and exclusion that could change it; `oversight.agreement` works the stale ones out anew, many at once."""

    task = models.OneToOneField(
        RankingTask, on_delete=models.CASCADE, primary_key=True, related_name="agreement"
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+", db_index=False)
    rankings = models.PositiveSmallIntegerField(default=0, help_text="Annotations that count.")
    agreement = models.FloatField(
        null=True, help_text="Share of pairs of people, over all pairs of responses, who say the same."
    )
    stale = models.BooleanField(default=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(agreement=None) | Q(agreement__gte=0, agreement__lte=1),
                name="agreement_is_a_share",
            )
        ]
        indexes = [
            # The review queue: lowest agreement first.
            models.Index(fields=["project", "agreement", "task"], name="agreement_lowest"),
            models.Index(fields=["project"], condition=Q(stale=True), name="agreement_stale"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}: {self.agreement}"
