from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.ids import uuid7
from annotation.models.people import User
from annotation.models.project import Project
from annotation.models.task import Assignment, RankingTask

MAX_TEXT_CHARACTERS = 2_000


class TaskProblem(models.Model):
    """What somebody who was shown a task says is wrong with the task itself. Their answer is apart from it:
    they may rank the task, skip it or leave it all the same."""

    class Kind(models.TextChoices):
        UNREADABLE = "unreadable", "Can't be read"
        WRONG_LANGUAGE = "wrong_language", "In the wrong language"
        UNSAFE = "unsafe", "Harmful or upsetting"
        DUPLICATE = "duplicate", "Was there before"
        OTHER = "other", "Something else"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="task_problems", db_index=False
    )
    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="problems")
    assignment = models.ForeignKey(
        Assignment, on_delete=models.PROTECT, related_name="problems", db_index=False
    )
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="task_problems")
    kind = models.CharField(max_length=15, choices=Kind.choices)
    text = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Said again it is said anew: a nervous finger doesn't fill the managers' list.
            models.UniqueConstraint(fields=["assignment", "kind"], name="problem_once_per_kind"),
            models.CheckConstraint(
                condition=~Q(kind="other") | ~Q(text=""), name="other_problem_says_what_it_is"
            ),
        ]
        indexes = [
            # The project's list, newest first.
            models.Index(fields=["project", "-id"], name="problems_of_project"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}: {self.kind}"
