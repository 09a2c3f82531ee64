"""Shared code for project views: finding the project and checking the permission table."""

from __future__ import annotations

from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import connection, models
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from annotation.api.endpoint import action_of
from annotation.api.permissions import paused_reason, require, require_in
from annotation.database.rows import Columns
from annotation.models import Project, User

_PROJECT = Columns(Project, "p")
_SEEN_PROJECT = f"""
SELECT {_PROJECT.sql}, m.role, m.state, m.paused_reason
  FROM annotation_project p
  LEFT JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = %(user)s
 WHERE p.slug = %(slug)s AND (%(admin)s OR m.id IS NOT NULL)
"""


def user_of(request: Request) -> User:
    """The logged-in user. The view must require a login."""
    return cast(User, request.user)


def allow_in(request: Request, project: Project) -> None:
    """Raises an exception unless the user's role in `project` allows the request's action. Views of a single
    row call this function with the row's project."""
    action = action_of(request)
    if action is not None:
        require_in(user_of(request), action, project)


Row = TypeVar("Row", bound=models.Model)


def row_of_project(request: Request, rows: models.QuerySet[Row], id: UUID) -> Row:
    """Returns the row with this ID if the permission table allows access. The row's `project` is loaded too.

    Outsiders get 404, as if the row did not exist. Members without the required role get 403.
    """
    visible = rows.filter(project__in=Project.objects.visible_to(user_of(request)))
    row = get_object_or_404(visible.select_related("project"), pk=id)
    allow_in(request, row.project)  # type: ignore[attr-defined]
    return row


def seen_project(*, user: User, slug: str) -> Any:
    """The project, with the attributes added by `with_role_of`; None if the user must not see the project."""
    with connection.cursor() as cursor:
        cursor.execute(_SEEN_PROJECT, {"user": user.pk, "slug": slug, "admin": user.is_admin})
        row = cursor.fetchone()
    if row is None:
        return None
    values = iter(row)
    project: Any = _PROJECT.take(values)
    project.role, project.member_state, project.paused_reason = values
    return project


class ProjectView(GenericAPIView[Any]):
    """A view under `projects/{slug}/`. The view's line in urls.py names the required action.

    `self.project` has the attribute `role`: the user's role, or None for an admin who is not a member.
    """

    pagination_class: type[CursorPagination] | None = None
    project: Any  # a Project with the attributes added by `with_role_of`

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        user = user_of(request)
        self.project = seen_project(user=user, slug=kwargs["slug"])
        if self.project is None:
            raise NotFound
        action = action_of(request)
        if action is not None:
            paused = paused_reason(self.project.member_state, self.project.paused_reason)
            require(user, action, role=self.project.role, paused=paused)
