"""An import of an uploaded file or of a dataset on the Hub. The database is the source of truth for the
import; the queue only wakes a worker."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.ids import uuid7
from annotation.models.project import Project


class ImportQuerySet(models.QuerySet["Import"]):
    def with_names(self) -> ImportQuerySet:
        """Also loads the project and the user who started the import, in the same query."""
        return self.select_related("project", "created_by")

    def without_reports(self) -> ImportQuerySet:
        """Leaves the reports out. Lists use this method, because a report can take 100 kB."""
        return self.defer("report")

    def unfinished(self) -> ImportQuerySet:
        return self.filter(state__in=Import.UNFINISHED_STATES)


class Import(models.Model):
    """queued → running → succeeded | failed | cancelled. A lost import is queued again and continues after
    its last stored batch.

    `attempt` counts claims and is the fencing token. Each batch's transaction stores the report up to and
    including this batch, on the condition that the attempt is still the current one. A batch is therefore
    counted exactly once.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    UNFINISHED_STATES = (State.QUEUED, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="imports", db_index=False)
    file_name = models.CharField(max_length=255)
    size = models.BigIntegerField(help_text="Size of the file in bytes.")
    sha256 = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="SHA-256 of the stored file; empty until the file is stored.",
    )
    hub = models.JSONField(
        null=True,
        help_text="The dataset on the Hub, if the file is downloaded: dataset, part, split, revision.",
    )
    options = models.JSONField(help_text="The choices of the import: format, mapping, votes, overlap, …")
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    phase = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="What a queued import waits for, if not for a free worker.",
    )
    attempt = models.PositiveIntegerField(default=0)
    # The number of claims since the last stored batch, including the claim that stored it. At MAX_TRIES, the
    # import is not retried.
    tries = models.PositiveIntegerField(default=0)
    heartbeat_at = models.DateTimeField(null=True)
    woken_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    share = models.FloatField(default=0.0, help_text="Share of the file's bytes read so far, 0 to 1.")
    read = models.PositiveBigIntegerField(default=0, help_text="Number of rows read so far.")
    failed = models.PositiveBigIntegerField(default=0, help_text="Number of rows rejected so far.")
    report = models.JSONField(null=True, help_text="The report on all stored batches.")
    error = models.JSONField(null=True, help_text="Why the import failed, as problem details.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = ImportQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="running") | Q(attempt__gte=1, heartbeat_at__isnull=False),
                name="import_running_was_claimed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], finished_at__isnull=True)
                | Q(state__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False),
                # Also refuses states that are in neither list.
                name="import_finished_when_final",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | Q(error__isnull=False), name="import_failure_has_a_cause"
            ),
            models.CheckConstraint(
                condition=~Q(state="succeeded") | Q(report__isnull=False), name="import_success_has_a_report"
            ),
        ]
        indexes = [
            # This index serves the list of a project's imports, newest first.
            models.Index(fields=["project", "-id"], name="import_newest"),
            # This index serves the sweep of lost and waiting imports. It excludes finished imports.
            models.Index(
                fields=["state", "heartbeat_at"],
                condition=Q(state__in=["queued", "running"]),
                name="import_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"import of {self.file_name}"

    @property
    def is_final(self) -> bool:
        return self.state not in self.UNFINISHED_STATES
