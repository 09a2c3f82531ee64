from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q

from annotation.ids import uuid7
from annotation.models.limits import at_most
from annotation.models.people import User

MAX_OVERLAP = 50
MAX_GUIDELINES_CHARACTERS = 100_000
DEFAULT_LEASE_SECONDS = 900
MIN_LEASE_SECONDS = 30
MAX_LEASE_SECONDS = 86_400
# If three annotators compare two responses and split two to one, their agreement is 1/3. If two annotators
# differ on one pair of six, their agreement is 5/6. With this default, only the first of these tasks goes to
# review.
DEFAULT_REVIEW_BELOW = 0.6
MAX_QUALIFICATION_ATTEMPTS = 10
# The maximum share of checks among an annotator's tasks.
MAX_CHECK_RATE = 0.5


class Role(models.TextChoices):
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    MANAGER = "manager"


class SkipWay(models.TextChoices):
    """The ways to skip a task. The first of a project's `skip_ways` is the default."""

    ME = "me", "Returns to the same annotator when no other task is left for them"
    OTHERS = "others", "Goes to other annotators"
    DROP = "drop", "Is dropped: no annotator gets the task again"


def default_skip_ways() -> list[str]:
    return [SkipWay.OTHERS.value, SkipWay.ME.value]


_SHARE = [MinValueValidator(0.0), MaxValueValidator(1.0)]


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> ProjectQuerySet:
        """Projects in which the user is a member, even if the user is paused. An admin sees all projects."""
        if user.is_admin:
            return self
        return self.filter(Exists(Membership.objects.filter(project=OuterRef("pk"), user=user)))

    def with_role_of(self, user: User) -> ProjectQuerySet:
        """Adds `role`, `member_state` and `paused_reason` of the user's membership; None for an admin without
        a membership."""
        return self.annotate(
            mine=FilteredRelation("memberships", condition=Q(memberships__user=user)),
            role=F("mine__role"),
            member_state=F("mine__state"),
            paused_reason=F("mine__paused_reason"),
        )


class Project(models.Model):
    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        ARCHIVED = "archived"

    class AllocationPolicy(models.TextChoices):
        FINISH_STARTED = "finish_started"
        FIFO = "fifo"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    guidelines = models.TextField(
        blank=True, validators=[MaxLengthValidator(MAX_GUIDELINES_CHARACTERS)], help_text="Markdown."
    )
    form = models.JSONField(
        default=dict, help_text="The questions that the project asks; see annotation.forms.answer_form."
    )
    preset = models.CharField(max_length=40)
    import_mappings = models.JSONField(
        default=list,
        blank=True,
        help_text="Mappings chosen in earlier imports, newest last: {columns, mapping}.",
    )
    overlap = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_OVERLAP)]
    )
    lease_seconds = models.PositiveIntegerField(
        default=DEFAULT_LEASE_SECONDS,
        validators=[MinValueValidator(MIN_LEASE_SECONDS), MaxValueValidator(MAX_LEASE_SECONDS)],
    )
    allocation_policy = models.CharField(
        max_length=20, choices=AllocationPolicy.choices, default=AllocationPolicy.FINISH_STARTED
    )
    max_per_annotator = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Maximum number of answers per annotator.",
    )
    max_per_annotator_per_day = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Maximum number of answers per annotator and day (UTC).",
    )
    skip_ways = ArrayField(
        models.CharField(max_length=10, choices=SkipWay.choices),
        default=default_skip_ways,
        size=len(SkipWay),
        help_text="Where a skipped task can go; the first is the default.",
    )
    gold_rate = models.FloatField(
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(MAX_CHECK_RATE)],
        help_text="Share of an annotator's tasks that are gold tasks.",
    )
    attention_rate = models.FloatField(
        default=0.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(MAX_CHECK_RATE)],
        help_text="Share of an annotator's tasks that are attention checks.",
    )
    gold_minimum_accuracy = models.FloatField(
        null=True,
        blank=True,
        validators=_SHARE,
        help_text="An annotator whose accuracy on checks falls below this value is paused.",
    )
    gold_minimum_answers = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1)],
        help_text="The number of checks an annotator must answer before the minimum accuracy applies.",
    )
    qualification_pass_mark = models.FloatField(
        null=True,
        blank=True,
        validators=_SHARE,
        help_text="The mean score that an annotator needs to qualify; null: no qualification.",
    )
    qualification_attempts = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(MAX_QUALIFICATION_ATTEMPTS)]
    )
    qualification_tasks = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The number of tasks in one attempt; null: all qualification tasks.",
    )
    mixing_seed = models.UUIDField(
        default=uuid.uuid4,
        db_default=RandomUUID(),
        editable=False,
        help_text="Decides which of an annotator's tasks are checks. The seed is secret, so that annotators"
        " can't predict the checks.",
    )
    review_below = models.FloatField(
        default=DEFAULT_REVIEW_BELOW,
        db_default=DEFAULT_REVIEW_BELOW,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Reviewers see tasks whose agreement is below this value. With 0, reviewers see no tasks.",
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=at_most("guidelines", MAX_GUIDELINES_CHARACTERS), name="project_guidelines_length"
            ),
            models.CheckConstraint(
                condition=Q(overlap__gte=1, overlap__lte=MAX_OVERLAP), name="project_overlap_in_bounds"
            ),
            models.CheckConstraint(
                condition=Q(review_below__gte=0, review_below__lte=1), name="project_review_below_is_a_share"
            ),
            models.CheckConstraint(
                condition=Q(lease_seconds__gte=MIN_LEASE_SECONDS, lease_seconds__lte=MAX_LEASE_SECONDS),
                name="project_lease_in_bounds",
            ),
            models.CheckConstraint(
                condition=Q(gold_rate__gte=0, attention_rate__gte=0)
                & Q(gold_rate__lte=MAX_CHECK_RATE - F("attention_rate")),
                name="project_is_not_mostly_checks",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class MembershipQuerySet(models.QuerySet["Membership"]):
    def active(self) -> MembershipQuerySet:
        return self.filter(state=Membership.State.ACTIVE)

    def with_user(self) -> MembershipQuerySet:
        return self.select_related("user")


class Membership(models.Model):
    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    paused_reason = models.CharField(
        max_length=500, blank=True, db_default="", help_text="Shown to the paused member."
    )
    # Checks that were answered before a manager resumed a paused annotator no longer count.
    judged_since = models.DateTimeField(null=True, blank=True)
    qualified_at = models.DateTimeField(null=True, blank=True)
    qualification_attempt = models.PositiveSmallIntegerField(
        default=1,
        db_default=1,
        help_text="The current qualification attempt, or the next one if none is in progress.",
    )
    extra_attempts = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="Attempts that a manager granted beyond the project's limit."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person")]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} in {self.project_id}"


class Desk(models.Model):
    """Counts of an annotator's work in a project.

    The counts are stored because counting at each claim would take ever longer as an annotator's work grows.
    Only a trigger writes the counts; it computes them from the assignments.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, db_default=RandomUUID(), editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="desks", db_index=False)
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="desks")
    answered = models.PositiveIntegerField(
        default=0, help_text="Answered tasks, including checks but not qualification tasks."
    )
    day = models.DateField(help_text="The UTC day of the newest answer, not counting qualification tasks.")
    answered_on_day = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "annotator"], name="one_desk_per_annotator")
        ]

    def __str__(self) -> str:
        return f"{self.annotator_id} in {self.project_id}: {self.answered} answered"
