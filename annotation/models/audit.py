from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from annotation.models.project import Project


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of_project(self, project: Project) -> AuditEntryQuerySet:
        return self.filter(project_id=project.pk)

    def matching(
        self,
        *,
        actor: str = "",
        action: str = "",
        table: str = "",
        row: str = "",
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> AuditEntryQuerySet:
        """Entries that meet every given condition. `after` is inclusive and `before` is exclusive."""
        given = {
            "actor": actor,
            "action": action,
            "table": table,
            "row_id": row,
            "at__gte": after,
            "at__lt": before,
        }
        return self.filter(Q(**{name: value for name, value in given.items() if value}))


class AuditEntry(models.Model):
    """A record of who changed which row. Only triggers write to the table; it is append-only, and even
    TRUNCATE is refused.

    The table is created in sql/audit.sql. It has no foreign keys, because an entry outlives the row that it
    describes.
    """

    class Action(models.TextChoices):
        INSERT = "insert"
        UPDATE = "update"
        DELETE = "delete"
        TRUNCATE = "truncate"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    actor = models.TextField()
    action = models.CharField(max_length=10, choices=Action.choices)
    table = models.TextField()
    row_id = models.TextField(help_text="Empty for an entry about many rows; `after` contains their number.")
    project_id = models.UUIDField(null=True)
    before: models.JSONField[Any, Any] = models.JSONField(null=True)
    after: models.JSONField[Any, Any] = models.JSONField(null=True)

    objects = AuditEntryQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "annotation_auditentry"

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.table} {self.row_id}"
