from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.models.project import Project
from annotation.models.task import RankingTask


class TaskAgreement(models.Model):
    """The agreement between a task's annotators. A row exists once the task has two or more rankings.

    If a ranking or an exclusion can change the agreement, a trigger (sql/agreement.sql) marks the row as
    `stale`. `oversight.agreement` recomputes stale rows in batches.
    """

    task = models.OneToOneField(
        RankingTask, on_delete=models.CASCADE, primary_key=True, related_name="agreement"
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+", db_index=False)
    rankings = models.PositiveSmallIntegerField(
        default=0, help_text="Number of annotations that are current and not excluded."
    )
    agreement = models.FloatField(
        null=True, help_text="Share of annotator pairs with the same verdict, pooled over all response pairs."
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
            # This index serves the review queue, which lists the lowest agreement first.
            models.Index(fields=["project", "agreement", "task"], name="agreement_lowest"),
            models.Index(fields=["project"], condition=Q(stale=True), name="agreement_stale"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}: {self.agreement}"
