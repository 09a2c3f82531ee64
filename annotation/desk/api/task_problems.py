"""Problems with tasks: reported at the desk, resolved by managers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField
from rest_framework.views import APIView

from annotation.api.base import ProjectView, row_of_project, user_of
from annotation.api.pages import NewestFirst, page_query
from annotation.api.parameters import Asked, Query, parses
from annotation.desk.api import task_problem_serializers as serializers
from annotation.desk.api.assignments import AssignmentView
from annotation.desk.task_problems import reopen_problem, report_problem, settle_problem
from annotation.models import TaskProblem


class ReportProblemView(AssignmentView):
    takes = serializers.NewTaskProblem

    @extend_schema(
        operation_id="reportTaskProblem",
        description="Reports a problem with the task to the managers. 200: you have already reported a"
        " problem of this kind, and the new text replaces the earlier text.",
        request=serializers.NewTaskProblem,
        responses={200: serializers.TaskProblemId, 201: serializers.TaskProblemId},
        tags=["assignments"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        problem, new = report_problem(assignment=self.assignment, **self.given.validated_data)
        status = HTTPStatus.CREATED if new else HTTPStatus.OK
        return Response(serializers.TaskProblemId(problem).data, status=status)


BY_TURN = page_query(CharField(max_length=37))  # one digit and a UUID


class OpenFirst(NewestFirst):
    """Lists open reports first. The sort key is one text column that combines state and time, because a
    cursor needs a single column."""

    ordering = "-turn"

    def query_of(self, queryset: QuerySet[Any]) -> type[Query]:
        return BY_TURN


class TaskProblemsView(ProjectView):
    pagination_class = OpenFirst

    @parses(serializers.TaskProblemsSought)
    @extend_schema(
        operation_id="listTaskProblems",
        description="Problems that annotators reported. Open problems come before resolved ones, and each"
        " group is listed newest first.",
        responses=serializers.TaskProblem(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        rows = TaskProblem.objects.sought(**asked).filter(project=self.project)
        page: Any = self.paginate_queryset(rows.in_turn().with_shown())
        return self.get_paginated_response(serializers.TaskProblem(page, many=True).data)


def _problem(request: Request, id: UUID) -> TaskProblem:
    return row_of_project(request, TaskProblem.objects.with_shown(), id)


class SettleProblemView(APIView):
    @extend_schema(
        operation_id="settleTaskProblem",
        description="Marks the report as resolved. 409: the report was resolved or changed in the meantime.",
        request=serializers.Settling,
        responses=serializers.TaskProblem,
        tags=["tasks"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        problem = _problem(request, id)
        given = serializers.Settling(data=request.data)
        given.is_valid(raise_exception=True)
        settled = settle_problem(problem=problem, by=user_of(request), **given.validated_data)
        return Response(serializers.TaskProblem(settled).data)


class ReopenProblemView(APIView):
    @extend_schema(
        operation_id="reopenTaskProblem",
        description="Reopens a resolved report. 409: the report is already open.",
        request=None,
        responses=serializers.TaskProblem,
        tags=["tasks"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        return Response(serializers.TaskProblem(reopen_problem(problem=_problem(request, id))).data)
