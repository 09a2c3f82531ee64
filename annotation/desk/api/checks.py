"""A project's checks: the tasks whose answer is known, and how people do on them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import NewestFirst, ProjectView
from annotation.models import RankingTask
from annotation.oversight.api.task_serializers import Task

KINDS = [choice for choice in RankingTask.Kind.choices if RankingTask.Kind(choice[0]).is_check]


class Check(Task):
    n_scored = serializers.IntegerField(help_text="Answers that were scored.")
    mean_score = serializers.FloatField(allow_null=True, help_text="0 to 1; null: nobody answered it yet.")


class CheckFilter(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=KINDS, required=False)


class ChecksView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listChecks",
        description="Gold, attention and qualification tasks, with how often each was answered and how well.",
        parameters=[CheckFilter],
        responses=Check(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str) -> Response:
        wanted = CheckFilter(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        rows = RankingTask.objects.filter(project=self.project, **wanted.validated_data).checks()
        page: Any = self.paginate_queryset(rows.with_scores().select_related("prompt"))
        return self.get_paginated_response(Check(page, many=True).data)
