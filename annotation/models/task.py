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
    """The condition that a task is a check; `task` is the lookup from a row to its task."""
    return ~Q(**{f"{task}__kind" if task else "kind": RankingTask.Kind.RANKING})


class TransactionId(models.Func):
    """The number of the transaction, which never comes again in this cluster."""

    template = "((pg_current_xact_id())::text)::bigint"
    arity = 0
    output_field = models.BigIntegerField()


class RankingTaskQuerySet(models.QuerySet["RankingTask"]):
    def open(self) -> RankingTaskQuerySet:
        return self.filter(state=RankingTask.State.OPEN)

    def asked(self) -> RankingTaskQuerySet:
        """What the project is for; without the checks of its annotators."""
        return self.filter(~is_check())

    def checks(self) -> RankingTaskQuerySet:
        return self.filter(is_check())

    def with_scores(self) -> RankingTaskQuerySet:
        """Adds n_scored and mean_score: of the answers given to a check."""
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
    """A prompt with 2–10 responses that wants `overlap` independent rankings.

    `open_slots`, `answered` and the step to `done` follow the task's assignments by trigger
    (migrations/0002): nothing else writes them after the task was made.

    A task of another kind than `ranking` is a check: its answer is known (`gold_tiers`) and everybody may be
    asked. It has no slots, is never done, and reaches people beside the queue.
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
        default=False, db_default=False, help_text="Only for the people of its reservations. Kept by trigger."
    )
    moved_xid = models.BigIntegerField(
        db_default=TransactionId(),
        editable=False,
        help_text="The transaction that last let it into the queue or moved it there. Kept by trigger.",
    )
    gold_tiers = models.JSONField(null=True, blank=True, help_text="Tiers of response ids, best first.")
    metadata = models.JSONField(
        default=dict,
        db_default=Value({}, models.JSONField()),
        help_text="What else the imported row says; its prompt may stand in other rows too.",
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
            # An assignment over the overlap would bring open_slots below 0: the overrun is impossible.
            models.CheckConstraint(
                condition=Q(open_slots=0) | Q(open_slots__gt=0, open_slots__lte=F("overlap") - F("answered")),
                name="task_never_over_overlap",
            ),
            models.CheckConstraint(
                condition=Q(kind="ranking") | Q(gold_tiers__isnull=False, open_slots=0, reserved=False),
                name="check_has_gold_and_no_slots",
            ),
            # So that the claim's order can be one ascending tuple, (priority * -1, …).
            models.CheckConstraint(condition=Q(priority__gt=-(2**31)), name="task_priority_has_a_negative"),
        ]
        indexes = [
            # The queue under `fifo`. Partial: a task with nothing left to give leaves it.
            models.Index(
                F("project"), F("priority") * -1, F("id"), condition=_QUEUED, name="task_queue_fifo"
            ),
            # The same under `finish_started`: false (some slot is taken) sorts before true (none is).
            models.Index(
                F("project"),
                F("priority") * -1,
                models.ExpressionWrapper(Q(open_slots=F("overlap")), output_field=models.BooleanField()),
                F("id"),
                condition=_QUEUED,
                name="task_queue_finish_started",
            ),
            # What came into the queue, or moved in it, since an annotator's cursor was set.
            models.Index(fields=["project", "moved_xid"], condition=_QUEUED, name="task_queue_moved"),
            # The manager's list of tasks, in pages by id.
            models.Index(fields=["project", "id"], name="task_pages"),
            # The checks that are given out.
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
    position = models.PositiveSmallIntegerField(help_text="As imported; what annotators see is shuffled.")

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
    """Keeps a task for a person, who gets it before anything else. A task with reservations is given to
    nobody else, whether these are still `open` or were answered or skipped (a trigger closes them)."""

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
            # What is kept for an annotator, in the order in which it was.
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
        """Leased under this token and not run out: the only state in which an answer is taken."""
        return self.leased().filter(token=token, expires_at__gt=Now())

    def run_out(self) -> AssignmentQuerySet:
        return self.leased().filter(expires_at__lte=Now())

    def ahead_in(self, project: Project) -> AssignmentQuerySet:
        """Leases that somebody holds beside the one they are at work on, which is their oldest."""
        before = Assignment.objects.leased().filter(project=project, annotator=OuterRef("annotator"))
        earlier = Q(leased_at__lt=OuterRef("leased_at")) | Q(
            leased_at=OuterRef("leased_at"), pk__lt=OuterRef("pk")
        )
        return self.leased().filter(Exists(before.filter(earlier)), project=project)


class Assignment(models.Model):
    """One annotator's lease on one task, and what became of it."""

    class State(models.TextChoices):
        LEASED = "leased"
        SUBMITTED = "submitted"
        SKIPPED = "skipped"
        EXPIRED = "expired"
        RELEASED = "released"
        # Submitted by someone who was excluded since: the slot is free again, the ranking stays.
        EXCLUDED = "excluded"
        # A reviewer's: they see the others' answers, so no task of theirs in these states comes to them to be
        # annotated. None takes a slot.
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
        help_text="The form that was shown. A trigger sets it to the newest with each new lease.",
    )
    leased_at = models.DateTimeField(default=Now())
    expires_at = models.DateTimeField()
    draft = models.JSONField(null=True, blank=True)
    draft_version = models.PositiveIntegerField(default=0)
    place = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        help_text="Which of the leases one person may hold this is; the oldest is the current one.",
    )
    attempt = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Of the qualification, from 1; 0 for all other tasks."
    )
    skip_reason = models.CharField(max_length=500, blank=True)
    skip_way = models.CharField(max_length=10, choices=SkipWay.choices, blank=True, db_default="")
    skipped_at = models.DateTimeField(null=True, blank=True)
    score = models.FloatField(null=True, blank=True, help_text="0 to 1, of an answer to a check.")
    scored_at = models.DateTimeField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=200, blank=True)
    answer_digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the submitted answer.")

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        constraints = [
            # Nobody is given a task twice, but to qualify anew; also the claim's probe "not mine already".
            models.UniqueConstraint(fields=["task", "annotator", "attempt"], name="task_once_per_annotator"),
            # Two tabs get the same lease.
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
            # Two reviewers don't do the same task; and a reviewer has one task in hand.
            models.UniqueConstraint(
                fields=["task"], condition=Q(state="reviewing"), name="one_reviewer_at_a_time"
            ),
            models.UniqueConstraint(
                fields=["project", "annotator"], condition=Q(state="reviewing"), name="one_open_review"
            ),
        ]
        indexes = [
            # expire_leases: the few leases that are out, by when they run out.
            models.Index(fields=["expires_at"], condition=Q(state="leased"), name="lease_expiry"),
            # What an annotator put off, longest ago first.
            models.Index(
                fields=["project", "annotator", "skipped_at"],
                condition=Q(state="skipped", skip_way="me"),
                name="assignment_put_off",
            ),
            # How an annotator did on checks.
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
        """Whether it belongs to an attempt to qualify: the only check that annotators can recognise."""
        return self.attempt > 0
