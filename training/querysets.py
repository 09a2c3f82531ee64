"""Reads in the domain's words. Who may see what is decided here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models

if TYPE_CHECKING:
    from annotation.models import Project, User

T = TypeVar("T", bound=models.Model)


class ProjectOwnedQuerySet(models.QuerySet[T]):
    """Rows that belong to a project."""

    def visible_to(self, user: User) -> ProjectOwnedQuerySet[T]:
        """Admins see everything; active managers see their projects'; everyone else sees nothing."""
        if user.is_admin:
            return self.all()
        return self.filter(
            project__in=user.memberships.filter(role="manager", state="active").values("project")
        )

    def of_project(self, slug: str | None) -> ProjectOwnedQuerySet[T]:
        """Rows of the named project; with no name, of every project."""
        return self.filter(project__slug=slug) if slug else self.all()


class RunQuerySet(ProjectOwnedQuerySet[Any]):
    def with_names(self) -> RunQuerySet:
        """With what a serializer shows of project and launcher, in one query."""
        return self.select_related("project", "created_by")


class ModelVersionQuerySet(ProjectOwnedQuerySet[Any]):
    def with_lineage(self) -> ModelVersionQuerySet:
        """With project, parent and run, in one query."""
        return self.select_related("project", "parent", "run")

    def usable(self, *, project: Project, kind: str) -> ModelVersionQuerySet:
        """What a run of the project may take as its input of this kind."""
        return self.filter(project=project, kind=kind).exclude(stage="archived")

    def default_for(self, *, project: Project, kind: str) -> Any:
        """The production model if there is one, else the newest; None where there is neither."""
        in_production = models.Case(
            models.When(stage="production", then=1), default=0, output_field=models.IntegerField()
        )
        return self.usable(project=project, kind=kind).order_by(in_production.desc(), "-created_at").first()
