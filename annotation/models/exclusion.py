from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotation.ids import uuid7
from annotation.models.limits import at_most
from annotation.models.people import User
from annotation.models.project import Project

MAX_REASON_CHARACTERS = 2_000


class ExclusionQuerySet(models.QuerySet["Exclusion"]):
    def standing(self) -> ExclusionQuerySet:
        return self.filter(lifted_at=None)


class Exclusion(models.Model):
    """Excludes an annotator's rankings from a project. The annotator is an account or a name in an imported
    file.

    Nothing is deleted: `Ranking.objects.counted()` leaves the rankings out until `lifted_at` is set. The row
    is kept after the exclusion is lifted.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="exclusions", db_index=False)
    annotator = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="exclusions"
    )
    annotator_label = models.CharField(
        max_length=200, blank=True, help_text="The annotator's name in an imported file."
    )
    reason = models.TextField()
    paused = models.BooleanField(
        default=False,
        help_text="Whether the exclusion paused the membership; if so, lifting the exclusion resumes the"
        " membership.",
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    lifted_at = models.DateTimeField(null=True, blank=True)

    objects = ExclusionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=at_most("reason", MAX_REASON_CHARACTERS), name="exclusion_reason_length"
            ),
            models.CheckConstraint(
                condition=Q(annotator__isnull=False, annotator_label="")
                | Q(annotator__isnull=True) & ~Q(annotator_label=""),
                name="exclusion_is_of_an_account_or_a_label",
            ),
            models.CheckConstraint(
                condition=Q(lifted_by__isnull=True) | Q(lifted_at__isnull=False),
                name="exclusion_is_lifted_at_a_time",
            ),
            # The constraint's index also serves counted() and a project's list of exclusions.
            models.UniqueConstraint(
                fields=["project", "annotator", "annotator_label"],
                condition=Q(lifted_at=None),
                nulls_distinct=False,
                name="excluded_once",
            ),
        ]
        indexes = [models.Index(fields=["project", "-id"], name="exclusions_of_project")]

    def __str__(self) -> str:
        return f"{self.annotator_id or self.annotator_label} is excluded from {self.project_id}"


def not_excluded(*, project: str, annotator: str, label: str) -> Q:
    """Matches rows whose annotator is not excluded. The arguments are lookups of the columns with the row's
    project, the annotator's account, and the annotator's name in an imported file.

    The condition consists of two NOT EXISTS clauses with plain equalities, so Postgres can run each clause as
    a hash anti-join over the few exclusions.
    """
    by_account, by_label = _exclusions(project, annotator, label)
    return ~by_account & (Q(**{f"{annotator}__isnull": False}) | ~by_label)


def excluded(*, project: str, annotator: str, label: str) -> tuple[Q, Q]:
    """The complement of :func:`not_excluded`, as two disjoint conditions: one for excluded accounts and one
    for excluded names.

    Postgres plans each condition as a semi-join that starts at the exclusions. For a single disjunction,
    Postgres can't make such a plan.
    """
    by_account, by_label = _exclusions(project, annotator, label)
    return Q(by_account), Q(by_label, **{f"{annotator}__isnull": True})


def _exclusions(project: str, annotator: str, label: str) -> tuple[models.Exists, models.Exists]:
    standing = Exclusion.objects.standing().filter(project=models.OuterRef(project))
    by_account = standing.filter(annotator=models.OuterRef(annotator))
    by_label = standing.filter(annotator_label=models.OuterRef(label)).exclude(annotator_label="")
    return models.Exists(by_account), models.Exists(by_label)
