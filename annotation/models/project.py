from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from annotation.ids import uuid7
from annotation.models.people import User

MAX_OVERLAP = 50
DEFAULT_LEASE_SECONDS = 900
MIN_LEASE_SECONDS = 30
MAX_LEASE_SECONDS = 86_400


class Role(models.TextChoices):
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    MANAGER = "manager"


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> ProjectQuerySet:
        """Projects the user is an active member of; an admin sees all. To them no other exists."""
        if user.is_admin:
            return self
        return self.filter(Exists(Membership.objects.active().filter(project=OuterRef("pk"), user=user)))

    def with_role_of(self, user: User) -> ProjectQuerySet:
        """Adds `role`: the user's role, None for one who has no active membership (an admin)."""
        mine = Membership.objects.active().filter(project=OuterRef("pk"), user=user)
        return self.annotate(role=Subquery(mine.values("role")[:1]))

    def with_counts(self, user: User) -> ProjectQuerySet:
        """Adds n_prompts, n_responses, n_tasks, n_open_tasks, n_rankings, n_comparisons, n_my_rankings."""
        from annotation.models.content import Prompt, Response
        from annotation.models.ranking import Comparison, Ranking
        from annotation.models.task import RankingTask

        def count(rows: models.QuerySet[models.Model], project: str = "project") -> Coalesce:
            # One grouped row per counted table: joins of several tables would multiply each other's rows.
            grouped = rows.filter(**{project: OuterRef("pk")}).order_by().values(project)
            return Coalesce(Subquery(grouped.annotate(n=Count("*")).values("n")), 0)

        current = Ranking.objects.current()
        return self.annotate(
            n_prompts=count(Prompt.objects.all()),
            n_responses=count(Response.objects.all(), "prompt__project"),
            n_tasks=count(RankingTask.objects.all()),
            n_open_tasks=count(RankingTask.objects.open()),
            n_rankings=count(Ranking.objects.counted()),
            n_comparisons=count(Comparison.objects.counted()),
            n_my_rankings=count(current.filter(annotator=user)),
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
    guidelines = models.TextField(blank=True, help_text="Markdown.")
    form = models.JSONField(default=dict, help_text="What is asked; see annotation.answer_form.")
    preset = models.CharField(max_length=40)
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
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(overlap__gte=1, overlap__lte=MAX_OVERLAP), name="project_overlap_in_bounds"
            ),
            models.CheckConstraint(
                condition=Q(lease_seconds__gte=MIN_LEASE_SECONDS, lease_seconds__lte=MAX_LEASE_SECONDS),
                name="project_lease_in_bounds",
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
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person")]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} in {self.project_id}"
