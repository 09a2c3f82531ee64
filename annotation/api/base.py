"""What every view of a project shares: finding it, and asking the permission table."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.shortcuts import get_object_or_404
from rest_framework.generics import GenericAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from annotation.models import Project, User
from annotation.permissions import Action, require


class NewestFirst(CursorPagination):
    """By id: UUIDv7 sorts by birth, is unique and never changes, which a cursor needs."""

    ordering = "-id"
    page_size = 100
    max_page_size = 500
    page_size_query_param = "page_size"


def user_of(request: Request) -> User:
    """The logged-in user; only for views that demand one."""
    return cast(User, request.user)


class ProjectView(GenericAPIView[Any]):
    """A view under `projects/{slug}/`. `actions` says for each method what one must be allowed to do.

    `self.project` carries `role`, the user's role in it (None for an admin who isn't a member).
    """

    actions: ClassVar[dict[str, Action]]
    pagination_class: type[CursorPagination] | None = None
    project: Project

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        user = user_of(request)
        projects = Project.objects.visible_to(user).with_role_of(user)
        self.project = get_object_or_404(projects, slug=kwargs["slug"])
        if request.method in self.actions:
            require(user, self.actions[request.method], role=getattr(self.project, "role", None))
