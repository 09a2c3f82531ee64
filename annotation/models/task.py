from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce, Now

from annotation.ids import uuid7
from annotation.models.content import Prompt, Response
from annotation.models.form import FormVersion
from annotation.models.people import User
from annotation.models.project import MAX_OVERLAP, Project, SkipWay
from preferences.text import MAX_RESPONSES

MAX_PREFETCH = 2


def is_check(task: str = "") -> Q:
    """Matches rows whose task is a check; `task` is the lookup from a row to its task."""
    return ~Q(**{f"{task}__kind" if task else "kind": RankingTask.Kind.RANKING})


class TransactionId(models.Func):
    """The current transaction's ID, which is unique within the database cluster."""

    template = "((pg_current_xact_id())::text)::bigint"
    arity = 0
    output_field = models.BigIntegerField()


class RankingTaskQuerySet(models.QuerySet["RankingTask"]):
    def open(self) -> RankingTaskQuerySet:
        return self.filter(state=RankingTask.State.OPEN)

    def asked(self) -> RankingTaskQuerySet:
        """Ranking tasks; checks are excluded."""
        return self.filter(~is_check())

    def checks(self) -> RankingTaskQuerySet:
        return self.filter(is_check())

    def with_scores(self) -> RankingTaskQuerySet:
        """Adds n_scored and mean_score: the number and the mean score of the answers to each check."""
        scored = (
            Assignment.objects.filter(
                task=OuterRef("pk"), state=Assignment.State.SUBMITTED, score__isnull=False
            )
            .order_by()
            .values("task")
        )
        return self.annotate(
            n_scored=Coalesce(Subquery(scored.annotate(n=Count("*")).values("n")), 0),
            mean_score=Subquery(scored.annotate(mean=Avg("score")).values("mean")),
        )


_QUEUED = Q(open_slots__gt=0, state="open", reserved=False)


class RankingTask(models.Model):
    """A prompt and 2–10 responses, which `overlap` annotators must rank independently of each other.

    Once the task is created, triggers compute `open_slots`, `answered` and the state `done` from the task's
    assignments (sql/assignment.sql). Apart from the triggers, only `desk.checks.set_kind` sets these values.

    A task of any kind other than `ranking` is a check. A check's answer is known (`gold_tiers`), and every
    annotator can get the check. A check has no slots, is never done, and bypasses the queue.
    """

    class Kind(models.TextChoices):
        RANKING = "ranking"
        GOLD = "gold"
        ATTENTION = "attention"
        QUALIFICATION = "qualification"

        @property
        def is_check(self) -> bool:
            return self is not type(self).RANKING

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        DROPPED = "dropped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="tasks", db_index=False)
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="tasks")
    responses: models.ManyToManyField[Response, TaskResponse] = models.ManyToManyField(
        Response, through="TaskResponse", related_name="tasks"
    )
    overlap = models.PositiveSmallIntegerField()
    open_slots = models.PositiveSmallIntegerField()
    answered = models.PositiveSmallIntegerField(default=0)
    priority = models.IntegerField(default=0)
    round = models.PositiveIntegerField(default=0)
    kind = models.CharField(
        max_length=15, choices=Kind.choices, default=Kind.RANKING, db_default=Kind.RANKING
    )
    reserved = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether the task is assigned only to annotators with a reservation. Set by a trigger.",
    )
    moved_xid = models.BigIntegerField(
        db_default=TransactionId(),
        editable=False,
        help_text="The transaction that last added the task to the queue or moved it within the queue. Set"
        " by a trigger.",
    )
    gold_tiers = models.JSONField(null=True, blank=True, help_text="Tiers of response IDs, best first.")
    metadata = models.JSONField(
        default=dict,
        db_default=Value({}, models.JSONField()),
        help_text="Other fields of the imported row, kept per task because rows can share a prompt.",
    )
    content_key = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RankingTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "content_key"], name="task_once_per_project"),
            models.CheckConstraint(
                condition=Q(overlap__gte=1, overlap__lte=MAX_OVERLAP), name="task_overlap_in_bounds"
            ),
            # An assignment beyond the overlap would make `open_slots` negative, which this constraint
            # rejects.
            models.CheckConstraint(
                condition=Q(open_slots=0) | Q(open_slots__gt=0, open_slots__lte=F("overlap") - F("answered")),
                name="task_never_over_overlap",
            ),
            models.CheckConstraint(
                condition=Q(kind="ranking") | Q(gold_tiers__isnull=False, open_slots=0, reserved=False),
                name="check_has_gold_and_no_slots",
            ),
            # Ensures that `priority * -1` fits into the column type, so that a claim can sort by one
            # ascending tuple, (priority * -1, …).
            models.CheckConstraint(condition=Q(priority__gt=-(2**31)), name="task_priority_has_a_negative"),
        ]
        indexes = [
            # The queue in `fifo` order. The index is partial, so it contains no task without open slots.
            models.Index(
                F("project"), F("priority") * -1, F("id"), condition=_QUEUED, name="task_queue_fifo"
            ),
            # The queue in `finish_started` order. Tasks with a taken slot come first: false sorts before
            # true, and `open_slots = overlap` is false for them.
            models.Index(
                F("project"),
                F("priority") * -1,
                models.ExpressionWrapper(Q(open_slots=F("overlap")), output_field=models.BooleanField()),
                F("id"),
                condition=_QUEUED,
                name="task_queue_finish_started",
            ),
            # This index finds tasks that entered the queue or moved in the queue after an annotator's cursor
            # was set.
            models.Index(fields=["project", "moved_xid"], condition=_QUEUED, name="task_queue_moved"),
            # This index serves the manager's list of tasks, in pages ordered by ID.
            models.Index(fields=["project", "id"], name="task_pages"),
            # This index finds the project's active checks.
            models.Index(
                fields=["project", "kind"], condition=Q(state="open") & ~Q(kind="ranking"), name="task_checks"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def is_check(self) -> bool:
        return self.Kind(self.kind).is_check


class TaskResponse(models.Model):
    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="shown", db_index=False)
    response = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="shown_in", db_index=False)
    position = models.PositiveSmallIntegerField(
        help_text="The response's place in the imported order; annotators see a shuffled order."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "response"], name="response_once_per_task"),
            models.UniqueConstraint(fields=["task", "position"], name="position_once_per_task"),
            models.CheckConstraint(
                condition=Q(position__gte=0, position__lt=MAX_RESPONSES),
                name="task_has_at_most_ten_responses",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id}[{self.position}]"


class Reservation(models.Model):
    """Reserves a task for an annotator, who gets this task before any other task.

    A task with reservations is never assigned to any other annotator. A trigger closes a reservation when its
    annotator answers or skips the task. Even then, no other annotator gets the task.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="reservations", db_index=False
    )
    task = models.ForeignKey(
        RankingTask, on_delete=models.CASCADE, related_name="reservations", db_index=False
    )
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="reservations")
    open = models.BooleanField(default=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "annotator"], name="reserved_once_per_annotator")
        ]
        indexes = [
            # An annotator's reserved tasks, oldest reservation first.
            models.Index(
                fields=["project", "annotator", "id"], condition=Q(open=True), name="reservation_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} for {self.annotator_id}"


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    def of(self, user: User) -> AssignmentQuerySet:
        return self.filter(annotator=user)

    def leased(self) -> AssignmentQuerySet:
        return self.filter(state=Assignment.State.LEASED)

    def held_with(self, token: uuid.UUID) -> AssignmentQuerySet:
        """Assignments that are leased under this token and have not expired. An answer is accepted only for
        such an assignment."""
        return self.running().filter(token=token)

    def running(self) -> AssignmentQuerySet:
        """Leases that have not expired."""
        return self.leased().filter(expires_at__gt=Now())

    def run_out(self) -> AssignmentQuerySet:
        return self.leased().filter(expires_at__lte=Now())

    def ahead_in(self, project: Project) -> AssignmentQuerySet:
        """Leases held in advance, which are all leases except each annotator's oldest lease. The oldest lease
        is the current lease."""
        before = Assignment.objects.leased().filter(project=project, annotator=OuterRef("annotator"))
        earlier = Q(leased_at__lt=OuterRef("leased_at")) | Q(
            leased_at=OuterRef("leased_at"), pk__lt=OuterRef("pk")
        )
        return self.leased().filter(Exists(before.filter(earlier)), project=project)


class Assignment(models.Model):
    """An annotator's lease or a reviewer's hold on a task, with its outcome."""

    class State(models.TextChoices):
        LEASED = "leased"
        SUBMITTED = "submitted"
        SKIPPED = "skipped"
        EXPIRED = "expired"
        RELEASED = "released"
        # The annotator was excluded after submitting: the slot is free again, but the ranking is kept.
        EXCLUDED = "excluded"
        # The states of a reviewer's assignment, which occupies no slot. A reviewer sees the annotators'
        # answers. A task that a reviewer has opened is therefore never assigned to the reviewer for
        # annotation.
        REVIEWING = "reviewing"
        REVIEWED = "reviewed"
        LOOKED_AT = "looked_at"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task = models.ForeignKey(
        RankingTask, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="assignments", db_index=False)
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=10, choices=State.choices, default=State.LEASED)
    token = models.UUIDField(default=uuid.uuid4)
    shown_order = ArrayField(models.UUIDField())
    form_version = models.ForeignKey(
        FormVersion,
        on_delete=models.PROTECT,
        related_name="assignments",
        db_index=False,
        help_text="The form that was shown. Set by a trigger with each new lease.",
    )
    leased_at = models.DateTimeField(default=Now())
    expires_at = models.DateTimeField()
    draft = models.JSONField(null=True, blank=True)
    draft_version = models.PositiveIntegerField(default=0)
    place = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="The lease's number among the annotator's leases; the oldest lease is current.",
    )
    attempt = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="Number of the qualification attempt, from 1; 0 for all other tasks.",
    )
    skip_reason = models.CharField(max_length=500, blank=True)
    skip_way = models.CharField(max_length=10, choices=SkipWay.choices, blank=True, db_default="")
    skipped_at = models.DateTimeField(null=True, blank=True)
    score = models.FloatField(null=True, blank=True, help_text="The score of an answer to a check, 0 to 1.")
    scored_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    answer_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the submitted answer.")

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            # No annotator is assigned a task twice, except in another qualification attempt. The index also
            # lets a claim skip tasks that were assigned to the annotator before.
            models.UniqueConstraint(fields=["task", "annotator", "attempt"], name="task_once_per_annotator"),
            # A claim in a second browser tab gets the open lease instead of a new lease.
            models.UniqueConstraint(
                fields=["project", "annotator", "place"],
                condition=Q(state="leased"),
                name="one_open_lease_per_place",
            ),
            models.CheckConstraint(
                condition=Q(place__gte=0, place__lte=MAX_PREFETCH), name="lease_place_in_bounds"
            ),
            models.CheckConstraint(
                condition=Q(score=None) | Q(score__gte=0, score__lte=1), name="score_is_a_share"
            ),
            # A task has at most one reviewer at a time, and a reviewer has at most one task.
            models.UniqueConstraint(
                fields=["task"], condition=Q(state="reviewing"), name="one_reviewer_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["project", "annotator"], condition=Q(state="reviewing"), name="one_open_review"
            ),
        ]
        indexes = [
            # This index serves `expire_leases`. It contains the few open leases, ordered by expiry.
            models.Index(fields=["expires_at"], condition=Q(state="leased"), name="lease_expiry"),
            # This index finds the tasks that an annotator deferred, oldest skip first.
            models.Index(
                fields=["project", "annotator", "skipped_at"],
                condition=Q(state="skipped", skip_way="me"),
                name="assignment_put_off",
            ),
            # This index finds an annotator's scores on checks.
            models.Index(
                fields=["project", "annotator", "scored_at"],
                condition=Q(score__isnull=False),
                name="assignment_scored",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} ({self.state})"

    @property
    def is_practice(self) -> bool:
        """Whether the assignment is part of a qualification attempt. Qualification tasks are the only checks
        that annotators can recognise."""
        return self.attempt > 0
