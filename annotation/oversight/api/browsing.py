"""Managers' views of a project's rankings. Views of a project's tasks are in
`annotation.oversight.api.tasks`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, parses
from annotation.models import RankingTask
from annotation.oversight import browsing
from annotation.oversight.api import browsing_serializers as serializers
from config.heavy.routes import Heavy


class RankingsView(ProjectView):
    heavy = {"GET": Heavy.REPORT}
    heavy_with = browsing.SLOW
    pagination_class = NewestFirst

    @parses(serializers.RankingsSought)
    @extend_schema(
        operation_id="listRankings",
        description="Current rankings, newest first. Rankings by excluded annotators are included and"
        " marked.",
        responses=serializers.RankingListed(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        rows = browsing.rankings_sought(project=self.project, sought=asked)
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.RankingListed(page, many=True).data)


class TaskRankingsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listTaskRankings",
        description="All rankings of the task, newest first. Revised answers, answers by excluded"
        " annotators and reviewers' decisions are included and marked.",
        responses=serializers.RankingGiven(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str, id: UUID) -> Response:
        task = get_object_or_404(RankingTask, project=self.project, pk=id)
        page: Any = self.paginate_queryset(browsing.rankings_of_task(task=task))
        return self.get_paginated_response(serializers.RankingGiven(page, many=True).data)
