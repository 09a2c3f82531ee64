from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Greatest, Least

from annotation.ids import uuid7
from annotation.models.content import Prompt, Response
from annotation.models.exclusion import excluded, not_excluded
from annotation.models.form import FormVersion
from annotation.models.limits import at_most
from annotation.models.people import User
from annotation.models.project import Project
from annotation.models.task import Assignment, RankingTask

# Texts of imported rankings can be longer.
MAX_COMMENT_CHARACTERS = 10_000
MAX_REWRITE_CHARACTERS = 100_000
# In an imported file, an annotator can rate, flag, comment on or rewrite responses without ordering them.
WITHOUT_ORDER = Q(tiers=[], not_rankable=False, all_bad=False)
SAYS_SOMETHING = (
    ~Q(ratings={})
    | ~Q(flags={})
    | ~Q(choices={})
    | Q(confidence__isnull=False)
    | ~Q(comment="")
    | (Q(rewrite__isnull=False) & ~Q(rewrite=""))
    | ~Q(metadata={})
)


class RankingQuerySet(models.QuerySet["Ranking"]):
    def current(self) -> RankingQuerySet:
        """Rankings that no revision has superseded.

        With `superseded_by=None`, Postgres would expect a single row from the outer join. It would then look
        up the comparisons of 100,000 rankings one by one. This method therefore uses NOT EXISTS.
        """
        return self.filter(~Exists(Ranking.objects.filter(supersedes=OuterRef("pk"))))

    def counted(self) -> RankingQuerySet:
        """Current rankings of annotators who are not excluded. Only these rankings count in statistics
        and datasets.

        Imported rankings that don't order the responses are included; see :meth:`with_order`.
        """
        return self.current().filter(
            not_excluded(project="project", annotator="annotator", label="annotator_label")
        )

    def with_order(self) -> RankingQuerySet:
        """Rankings that have tiers, or that are marked `not_rankable` or `all_bad`. All statistics about the
        order of responses use these rankings."""
        return self.exclude(WITHOUT_ORDER)

    def annotations(self) -> RankingQuerySet:
        return self.filter(kind=Ranking.Kind.ANNOTATION)

    def reviews(self) -> RankingQuerySet:
        """Decisions of reviewers, who had seen the annotators' rankings."""
        return self.filter(kind=Ranking.Kind.REVIEW)

    def of(self, user: User) -> RankingQuerySet:
        return self.filter(annotator=user)


class Ranking(models.Model):
    """An annotator's answer to a task.

    An imported ranking can lack an order (see `WITHOUT_ORDER`). Such a ranking does not answer the task: the
    task stays open, and the ranking has no comparisons. An annotator can have current rankings without an
    order in addition to a current ranking with an order. Neither kind supersedes the other; a trigger ensures
    this.

    A ranking is never edited: a trigger refuses UPDATE and DELETE. A revision is a new row that supersedes
    the revised row. Another trigger ensures that a ranking fits its task: same project, same responses.

    `places` represents the same order as `tiers`, in the form used by statistics: one number for each of the
    task's responses, ordered by position. The database computes `places` from `tiers` (sql/ranking.sql), so
    no writer needs to supply the values, and the database refuses any other values. On a new instance,
    `places` is None until the row is read again.

    A future form could ask for a separate order per dimension. These orders would belong in a separate table,
    RankingOrder(ranking, dimension, tiers, places). The same database function could compute the `places` of
    a RankingOrder. A Ranking would still contain the overall order. The statistics for a dimension would read
    RankingOrder's `places` without any other change.
    """

    class Source(models.TextChoices):
        BROWSER = "browser"
        API = "api"
        IMPORT = "import"

    class Kind(models.TextChoices):
        ANNOTATION = "annotation"
        REVIEW = "review"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="rankings", db_index=False)
    task = models.ForeignKey(RankingTask, on_delete=models.PROTECT, related_name="rankings")
    assignment = models.ForeignKey(
        Assignment, on_delete=models.PROTECT, null=True, blank=True, related_name="rankings"
    )
    annotator = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="rankings", db_index=False
    )
    annotator_label = models.CharField(
        max_length=200, blank=True, help_text="The annotator's name in an imported file."
    )
    source = models.CharField(max_length=10, choices=Source.choices)
    kind = models.CharField(
        max_length=10,
        choices=Kind.choices,
        default=Kind.ANNOTATION,
        db_default=Kind.ANNOTATION,
        help_text="`review`: a decision by a reviewer, who has seen the other rankings.",
    )
    shown_order = ArrayField(
        models.UUIDField(), help_text="Response IDs in the order in which they were shown."
    )
    form_version = models.ForeignKey(
        FormVersion,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="rankings",
        db_index=False,
        help_text="The form that was shown; null for an imported ranking.",
    )
    tiers = models.JSONField(
        help_text="Lists of response IDs, best first; IDs in one list are tied. "
        "Responses in no list rank below all others. Empty if the responses were not ordered."
    )
    places = ArrayField(
        models.SmallIntegerField(),
        editable=False,
        help_text="The tier of each of the task's responses, by position, from 0; 127 for responses in no"
        " tier. The database computes this field.",
    )
    strength = models.SmallIntegerField(
        null=True,
        blank=True,
        help_text="How much better the first tier is than the second tier, as one of the form's levels.",
    )
    ratings = models.JSONField(default=dict, blank=True, help_text="{response ID: {scale: value}}")
    flags = models.JSONField(default=dict, blank=True, help_text="{response ID: [flag]}")
    choices = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="{question about the whole task: choice}"
    )
    confidence = models.SmallIntegerField(null=True, blank=True, help_text="One of the form's levels.")
    not_rankable = models.BooleanField(default=False)
    all_bad = models.BooleanField(
        default=False,
        db_default=False,
        help_text="No response is good enough; the ranking can still have tiers.",
    )
    comment = models.TextField(blank=True)
    rewrite = models.TextField(null=True, blank=True)  # noqa: DJ001 (null: no rewrite; "": an empty rewrite)
    touched = models.BooleanField(help_text="False: the shown order was submitted unchanged.")
    duration_ms = models.PositiveBigIntegerField(null=True, blank=True)
    supersedes = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    import_key = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001 (null: not imported)
    metadata = models.JSONField(
        default=dict,
        blank=True,
        db_default=Value({}, models.JSONField()),
        help_text="Other fields of an imported file, unchanged.",
    )
    given_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The time of the ranking in an imported file; `created_at` is the time of the import.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RankingQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "import_key"], name="ranking_imported_once"),
            # With the one-to-one `supersedes`, the revisions of an answer form one chain, never a tree.
            models.UniqueConstraint(
                fields=["assignment"], condition=Q(supersedes=None), name="one_first_ranking_per_assignment"
            ),
            models.CheckConstraint(
                condition=Q(not_rankable=True, all_bad=False, tiers=[])
                | Q(not_rankable=False) & (Q(all_bad=True) | ~Q(tiers=[]))
                | Q(not_rankable=False, source="import", kind="annotation") & SAYS_SOMETHING,
                name="ranking_has_tiers_or_says_why_not",
            ),
            models.CheckConstraint(
                condition=Q(source="import")
                | Q(at_most("comment", MAX_COMMENT_CHARACTERS))
                & Q(at_most("rewrite", MAX_REWRITE_CHARACTERS)),
                name="ranking_text_length",
            ),
            models.CheckConstraint(
                condition=Q(source="import", import_key__isnull=False) | Q(annotator__isnull=False),
                name="ranking_is_somebodys",
            ),
            # A task's review decisions also form one chain: each new decision supersedes the previous one.
            models.UniqueConstraint(
                fields=["task"], condition=Q(kind="review", supersedes=None), name="one_first_review_per_task"
            ),
            models.CheckConstraint(
                condition=Q(kind="annotation")
                | Q(kind="review", assignment__isnull=False, annotator__isnull=False),
                name="review_is_a_reviewers",
            ),
        ]
        indexes = [
            # This index serves the daily progress, snapshot freezes, and the manager's list filtered by time.
            models.Index(fields=["project", "created_at"], name="ranking_by_day"),
            # An annotator's rankings in a project, newest first. The last answer, the pace, and the manager's
            # list filtered by annotator use this index.
            models.Index(
                fields=["annotator", "project", "-id"],
                condition=Q(annotator__isnull=False),
                name="ranking_own_newest",
            ),
            # This index serves the manager's list of rankings, in pages ordered by ID. The next index serves
            # the list filtered by a name from an imported file.
            models.Index(fields=["project", "id"], name="ranking_pages"),
            models.Index(
                fields=["project", "annotator_label", "id"],
                condition=~Q(annotator_label=""),
                name="ranking_pages_of_label",
            ),
            # This index and the next two serve the list of rankings that have a comment, flags or a rewrite.
            # With the included column `task`, they also serve the list of tasks that have such a ranking.
            models.Index(
                fields=["project", "id"],
                include=["task"],
                condition=~Q(comment=""),
                name="ranking_pages_with_comment",
            ),
            models.Index(
                fields=["project", "id"],
                include=["task"],
                condition=~Q(flags={}),
                name="ranking_pages_with_flags",
            ),
            models.Index(
                fields=["project", "id"],
                include=["task"],
                condition=Q(rewrite__isnull=False),
                name="ranking_pages_with_rewrite",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    def current(self) -> ComparisonQuerySet:
        """Comparisons from current rankings; comparisons from superseded rankings are kept as history."""
        return self.filter(~Exists(Ranking.objects.filter(supersedes=OuterRef("ranking"))))

    def counted(self) -> ComparisonQuerySet:
        """Comparisons from rankings that count; see :meth:`RankingQuerySet.counted`."""
        return self.current().filter(
            not_excluded(project="project", annotator="ranking__annotator", label="ranking__annotator_label")
        )

    def uncounted(self) -> list[ComparisonQuerySet]:
        """The complement of :meth:`counted`, as disjoint parts that each use an index.

        To count valid comparisons, subtract the number of comparisons in the complement from the total. For
        600,000 comparisons, subtracting takes 0.06 s. Looking up each comparison's ranking took 0.6 s.
        """
        superseded = Ranking.objects.filter(supersedes__isnull=False).values("supersedes")
        columns = {
            "project": "project",
            "annotator": "ranking__annotator",
            "label": "ranking__annotator_label",
        }
        return [
            self.filter(ranking__in=superseded),
            *(self.current().filter(condition) for condition in excluded(**columns)),
        ]

    def annotations(self) -> ComparisonQuerySet:
        return self.filter(ranking__kind=Ranking.Kind.ANNOTATION)


class Comparison(models.Model):
    """A pair of responses derived from a ranking and written in the same transaction. Append-only, like the
    ranking.

    For a tie, the choice of `preferred` is arbitrary.
    """

    id = models.BigAutoField(primary_key=True)
    ranking = models.ForeignKey(Ranking, on_delete=models.PROTECT, related_name="comparisons", db_index=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="comparisons")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, related_name="comparisons", db_index=False)
    preferred = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="wins", db_index=False)
    other = models.ForeignKey(Response, on_delete=models.PROTECT, related_name="losses", db_index=False)
    is_tie = models.BooleanField(default=False)
    strength = models.SmallIntegerField(null=True, blank=True)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        constraints = [
            # At most one row per pair, regardless of direction.
            models.UniqueConstraint(
                F("ranking"), Least("preferred", "other"), Greatest("preferred", "other"), name="pair_once"
            ),
            models.CheckConstraint(condition=~Q(preferred=F("other")), name="pair_is_of_two_responses"),
        ]

    def __str__(self) -> str:
        return f"{self.preferred_id} {'=' if self.is_tie else '>'} {self.other_id}"
