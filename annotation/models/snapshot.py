from __future__ import annotations

from django.db import models

from annotation.ids import uuid7
from annotation.models.people import User
from annotation.models.project import Project


class DatasetSnapshot(models.Model):
    """A frozen selection of rankings, stored as a Parquet file. A trigger refuses UPDATE and DELETE."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="snapshots", db_index=False)
    name = models.CharField(max_length=100)
    sha256 = models.CharField(max_length=64, help_text="SHA-256 of the Parquet file.")
    path = models.CharField(max_length=500, help_text="Relative to settings.ARTEFACTS.")
    rows = models.PositiveIntegerField()
    comparisons = models.PositiveIntegerField()
    selection = models.JSONField(default=dict)
    card = models.JSONField(default=dict)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="snapshot_name_in_project")]

    def __str__(self) -> str:
        return f"{self.project_id}/{self.name}"
