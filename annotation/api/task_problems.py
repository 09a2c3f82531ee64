"""Problems with tasks: reported from the desk, read by managers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api import desk_serializers as serializers
from annotation.api.assignments import AssignmentView
from annotation.api.base import NewestFirst, ProjectView
from annotation.models import TaskProblem
from annotation.services.task_problems import report_problem


class ReportProblemView(AssignmentView):
    takes = serializers.NewTaskProblem

    @extend_schema(
        operation_id="reportTaskProblem",
        description="Tells the managers what is wrong with the task. 200: said of this kind before; the new"
        " words take the place of the old.",
        request=serializers.NewTaskProblem,
        responses={200: serializers.TaskProblemId, 201: serializers.TaskProblemId},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        problem, new = report_problem(assignment=self.assignment, **self.given.validated_data)
        status = HTTPStatus.CREATED if new else HTTPStatus.OK
        return Response(serializers.TaskProblemId(problem).data, status=status)


class TaskProblemsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listTaskProblems",
        description="What annotators reported of tasks, newest first.",
        responses=serializers.TaskProblem(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str) -> Response:
        rows = TaskProblem.objects.filter(project=self.project).select_related("annotator", "task__prompt")
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.TaskProblem(page, many=True).data)
