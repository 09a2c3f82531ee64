"""Views of a project's snapshots."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView, user_of
from annotation.api.pages import NewestFirst
from annotation.datasets import snapshots
from annotation.datasets.api import serializers
from annotation.models import DatasetSnapshot
from config.heavy.routes import Heavy


class SnapshotsView(ProjectView):
    heavy = {"POST": Heavy.REPORT}
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listSnapshots",
        description="The project's snapshots, newest first.",
        responses=serializers.Snapshot(many=True),
        tags=["data"],
    )
    def get(self, request: Request, slug: str) -> Response:
        rows = DatasetSnapshot.objects.filter(project=self.project).select_related("project", "created_by")
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.Snapshot(page, many=True).data)

    @extend_schema(
        operation_id="freezeSnapshot",
        description="Freezes the selected rankings as a new snapshot. Default: all valid rankings, except"
        " rankings of checks.",
        request=serializers.NewSnapshot,
        responses={201: serializers.Snapshot},
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewSnapshot(data=request.data)
        given.is_valid(raise_exception=True)
        snapshot = snapshots.freeze_snapshot(
            project=self.project, created_by=user_of(request), **given.validated_data
        )
        return Response(serializers.Snapshot(snapshot).data, status=HTTPStatus.CREATED)
