from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models import Case, CharField, Q, Value, When
from django.db.models.functions import Cast, Concat

from annotation.ids import uuid7
from annotation.models.limits import at_most
from annotation.models.people import User
from annotation.models.project import Project
from annotation.models.task import Assignment, RankingTask

MAX_TEXT_CHARACTERS = 2_000


class TaskProblemQuerySet(models.QuerySet["TaskProblem"]):
    def unsettled(self) -> TaskProblemQuerySet:
        return self.filter(settled_at=None)

    def settled(self) -> TaskProblemQuerySet:
        return self.exclude(settled_at=None)

    def sought(self, *, state: str | None = None, task: UUID | None = None) -> TaskProblemQuerySet:
        """Problems with the given state (`open` or `settled`) and the given task. If an argument is None, it
        does not filter the problems."""
        rows = {None: self, "open": self.unsettled(), "settled": self.settled()}[state]
        return rows if task is None else rows.filter(task=task)

    def with_shown(self) -> TaskProblemQuerySet:
        return self.select_related("annotator", "settled_by", "task__prompt")

    def in_turn(self) -> TaskProblemQuerySet:
        """Adds `turn`, a unique sort key. In descending order, open problems come first, and newer
        problems come before older ones."""
        first = Case(When(settled_at=None, then=Value("1")), default=Value("0"), output_field=CharField())
        return self.annotate(turn=Concat(first, Cast("id", CharField()), output_field=CharField()))


class TaskProblem(models.Model):
    """An annotator's report that something is wrong with a task itself.

    A report is independent of an answer: the annotator can still rank, skip or leave the task.
    """

    class Kind(models.TextChoices):
        UNREADABLE = "unreadable", "Unreadable"
        WRONG_LANGUAGE = "wrong_language", "Wrong language"
        UNSAFE = "unsafe", "Harmful or upsetting"
        DUPLICATE = "duplicate", "Duplicate of another task"
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
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    note = models.TextField(
        blank=True,
        db_default="",
        help_text="The outcome, in the words of the manager who resolved the report.",
    )

    objects = TaskProblemQuerySet.as_manager()

    class Meta:
        constraints = [
            # A repeated report replaces the first, so that repeated clicks don't fill the managers' list.
            models.UniqueConstraint(fields=["assignment", "kind"], name="problem_once_per_kind"),
            models.CheckConstraint(
                condition=Q(at_most("text", MAX_TEXT_CHARACTERS)) & Q(at_most("note", MAX_TEXT_CHARACTERS)),
                name="problem_text_length",
            ),
            models.CheckConstraint(
                condition=~Q(kind="other") | ~Q(text=""), name="other_problem_says_what_it_is"
            ),
            models.CheckConstraint(
                condition=Q(settled_at=None, settled_by=None, note="")
                | Q(settled_at__isnull=False, settled_by__isnull=False),
                name="problem_settled_by_somebody",
            ),
        ]
        indexes = [
            # This index serves the project's list of reports, newest first.
            models.Index(fields=["project", "-id"], name="problems_of_project"),
            # This index serves the count of open problems, which is shown with every project.
            models.Index(fields=["project"], condition=Q(settled_at=None), name="problems_to_settle"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}: {self.kind}"
