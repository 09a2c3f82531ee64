from __future__ import annotations

from django.db import models

from annotation.ids import uuid7
from annotation.models.project import Project


class FormVersion(models.Model):
    """One version of a project's answer form. The table is append-only.

    A trigger writes a version when a project is created or the project's form changes. Another trigger
    assigns to every lease the newest version that fits the task's number of responses (sql/form.sql). An
    answer is therefore always checked against the questions that were shown, even if the form changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="form_versions", db_index=False
    )
    number = models.PositiveIntegerField(help_text="1 for the project's first form.")
    form = models.JSONField(help_text="The questions; see annotation.forms.answer_form.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # The constraint's index also serves the lookup of a project's newest version for each lease.
            models.UniqueConstraint(fields=["project", "number"], name="form_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} form {self.number}"
