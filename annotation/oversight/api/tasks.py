"""Managers' views of tasks and checks."""

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
from annotation.content import task_changes
from annotation.models import RankingTask
from annotation.oversight import browsing
from annotation.oversight.api import browsing_serializers, task_serializers
from config.heavy.routes import Heavy


class TasksView(ProjectView):
    heavy = {"GET": Heavy.REPORT}
    heavy_with = browsing.SLOW
    pagination_class = NewestFirst

    @parses(browsing_serializers.TasksSought)
    @extend_schema(
        operation_id="listTasks",
        description="Tasks, newest first, with the start of each prompt. `getTask` returns the whole prompt.",
        responses=browsing_serializers.TaskListed(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        page: Any = self.paginate_queryset(browsing.tasks_sought(project=self.project, sought=asked))
        return self.get_paginated_response(browsing_serializers.TaskListed(page, many=True).data)


class TaskView(ProjectView):
    @extend_schema(operation_id="getTask", responses=task_serializers.TaskDetail, tags=["tasks"])
    def get(self, request: Request, slug: str, id: UUID) -> Response:
        rows = RankingTask.objects.filter(project=self.project).select_related("prompt", "agreement")
        return Response(task_serializers.TaskDetail(get_object_or_404(rows, pk=id)).data)

    @extend_schema(
        operation_id="updateTask",
        description="Changes the task's kind, correct answer, priority or state. To turn a task into a check,"
        " send its kind and the correct answer.",
        request=task_serializers.TaskChanges,
        responses=task_serializers.TaskDetail,
        tags=["tasks"],
    )
    def patch(self, request: Request, slug: str, id: UUID) -> Response:
        task = get_object_or_404(RankingTask, project=self.project, pk=id)
        given = task_serializers.TaskChanges(data=request.data)
        given.is_valid(raise_exception=True)
        task_changes.change_task(project=self.project, task=task, changes=given.validated_data)
        return self.get(request, slug, id)


class ChecksView(ProjectView):
    pagination_class = NewestFirst

    @parses(task_serializers.CheckFilter)
    @extend_schema(
        operation_id="listChecks",
        description="Gold, attention and qualification tasks, with the number of answers and their mean"
        " score.",
        responses=task_serializers.Check(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        rows = RankingTask.objects.filter(project=self.project, **asked).checks()
        page: Any = self.paginate_queryset(rows.with_scores().select_related("prompt"))
        return self.get_paginated_response(task_serializers.Check(page, many=True).data)
