from __future__ import annotations

from django.db import models

from annotation.ids import uuid7
from annotation.models.project import Project


class FormVersion(models.Model):
    """An answer form as it once was. Append-only.

    A trigger writes one whenever a project's form comes to be or changes (migrations/0009), and another gives
    every lease the newest that takes as many responses as the task shows (0016): whoever changes a form, and
    however, nobody's answer is judged by questions that they were not shown.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey(
        Project, on_delete=models.PROTECT, related_name="form_versions", db_index=False
    )
    number = models.PositiveIntegerField(help_text="1 for the form that the project began with.")
    form = models.JSONField(help_text="What was asked; see annotation.forms.answer_form.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            # Also finds a project's newest version for each lease.
            models.UniqueConstraint(fields=["project", "number"], name="form_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.project_id} form {self.number}"
