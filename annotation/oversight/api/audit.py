"""The audit log of a project (for its managers) and of the whole site (for admins)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, parses
from annotation.models import AuditEntry
from annotation.models.audit import AuditEntryQuerySet
from annotation.oversight import audit
from annotation.oversight.api import audit_serializers as serializers


def _page(view: GenericAPIView[Any], entries: AuditEntryQuerySet, asked: Asked) -> Response:
    wanted = {**asked, "actor": audit.actor_named(asked.get("actor", ""))}
    page: Any = view.paginate_queryset(entries.matching(**wanted))
    context = {"actor_names": audit.actor_names(page)}
    return view.get_paginated_response(serializers.AuditEntry(page, many=True, context=context).data)


class ProjectAuditView(ProjectView):
    pagination_class = NewestFirst

    @parses(serializers.AuditFilter)
    @extend_schema(
        operation_id="listAuditEntries",
        description="Changes in the project, newest first.",
        responses=serializers.AuditEntry(many=True),
        tags=["audit"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        return _page(self, AuditEntry.objects.of_project(self.project), asked)


class SiteAuditView(GenericAPIView[AuditEntry]):
    pagination_class = NewestFirst

    @parses(serializers.AuditFilter)
    @extend_schema(
        operation_id="listSiteAuditEntries",
        description="All changes, including accounts and tokens, newest first.",
        responses=serializers.AuditEntry(many=True),
        tags=["audit"],
    )
    def get(self, request: Request, asked: Asked) -> Response:
        return _page(self, AuditEntry.objects.all(), asked)
