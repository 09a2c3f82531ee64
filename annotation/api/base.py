"""What every view of a project shares: finding it, and asking the permission table."""

from __future__ import annotations

from typing import Any, TypeVar, cast
from uuid import UUID

from django.db import models
from django.shortcuts import get_object_or_404
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from annotation.api.access import action_of
from annotation.api.permissions import paused_reason, require, require_in
from annotation.desk import reads
from annotation.models import Project, User


class NewestFirst(CursorPagination):
    """By id: UUIDv7 sorts by birth, is unique and never changes, which a cursor needs."""

    ordering = "-id"
    page_size = 100
    max_page_size = 500
    page_size_query_param = "page_size"


def user_of(request: Request) -> User:
    """The logged-in user; only for views that demand one."""
    return cast(User, request.user)


def allow_in(request: Request, project: Project) -> None:
    """For views of a row: whether the user's role in the row's project is enough for what the table says."""
    action = action_of(request)
    if action is not None:
        require_in(user_of(request), action, project)


Row = TypeVar("Row", bound=models.Model)


def row_of_project(request: Request, rows: models.QuerySet[Row], id: UUID) -> Row:
    """The row with this id, its `project` loaded, if the table lets the user at it.

    To an outsider it doesn't exist (404); a member whose role isn't enough is told so (403).
    """
    visible = rows.filter(project__in=Project.objects.visible_to(user_of(request)))
    row = get_object_or_404(visible.select_related("project"), pk=id)
    allow_in(request, row.project)  # type: ignore[attr-defined]
    return row


class ProjectView(GenericAPIView[Any]):
    """A view under `projects/{slug}/`; its line in urls.py says what one must be allowed to do.

    `self.project` carries `role`, the user's role in it (None for an admin who isn't a member).
    """

    pagination_class: type[CursorPagination] | None = None
    project: Any  # a Project with what `with_role_of` adds

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        user = user_of(request)
        self.project = reads.seen_project(user=user, slug=kwargs["slug"])
        if self.project is None:
            raise NotFound
        action = action_of(request)
        if action is not None:
            paused = paused_reason(self.project.member_state, self.project.paused_reason)
            require(user, action, role=self.project.role, paused=paused)
