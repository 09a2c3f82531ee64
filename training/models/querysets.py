"""Queries shared by the models. Only this module decides which rows a user can see."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import models

from annotation.api.permissions import RULES, Action

if TYPE_CHECKING:
    from annotation.models import User

T = TypeVar("T", bound=models.Model)


class ProjectOwnedQuerySet(models.QuerySet[T]):
    """Rows that belong to a project."""

    def visible_to(self, user: User) -> ProjectOwnedQuerySet[T]:
        """Admins see all rows, active managers see the rows of their projects, and other users see none."""
        if user.is_admin:
            return self.all()
        knowing = user.memberships.filter(role__in=RULES[Action.READ_TRAINING].known_to, state="active")
        return self.filter(project__in=knowing.values("project"))

    def of_project(self, slug: str | None) -> ProjectOwnedQuerySet[T]:
        """The rows of the project with this slug or, without a slug, the rows of all projects."""
        return self.filter(project__slug=slug) if slug else self.all()
