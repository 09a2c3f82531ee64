"""The audit log of a project, for its managers, and of the whole site, for admins."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import NewestFirst, ProjectView
from annotation.models import AuditEntry
from annotation.models.audit import AuditEntryQuerySet
from annotation.oversight import audit
from annotation.oversight.api import audit_serializers as serializers


def _page(view: GenericAPIView[Any], request: Request, entries: AuditEntryQuerySet) -> Response:
    given = serializers.AuditFilter(data=request.query_params)
    given.is_valid(raise_exception=True)
    wanted = given.validated_data
    wanted["actor"] = audit.actor_named(wanted.get("actor", ""))
    page: Any = view.paginate_queryset(entries.matching(**wanted))
    context = {"actor_names": audit.actor_names(page)}
    return view.get_paginated_response(serializers.AuditEntry(page, many=True, context=context).data)


class ProjectAuditView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listAuditEntries",
        description="Changes in the project, newest first.",
        parameters=[serializers.AuditFilter],
        responses=serializers.AuditEntry(many=True),
        tags=["audit"],
    )
    def get(self, request: Request, slug: str) -> Response:
        return _page(self, request, AuditEntry.objects.of_project(self.project))


class SiteAuditView(GenericAPIView[AuditEntry]):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listSiteAuditEntries",
        description="All changes, including accounts and tokens, newest first.",
        parameters=[serializers.AuditFilter],
        responses=serializers.AuditEntry(many=True),
        tags=["audit"],
    )
    def get(self, request: Request) -> Response:
        return _page(self, request, AuditEntry.objects.all())
