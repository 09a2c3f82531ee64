"""Tasks for those who manage them: which there are, checks among them, and whom they are kept for."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api import serializers
from annotation.api.base import NewestFirst, ProjectView, user_of
from annotation.content import task_changes
from annotation.desk import membership, reservations
from annotation.models import Membership, RankingTask, Reservation
from annotation.oversight import browsing
from annotation.oversight.api import browsing_serializers, task_serializers


class TasksView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listTasks",
        description="Newest first. A page's rows have the beginning of the prompt; `getTask` has all of it.",
        parameters=[browsing_serializers.TasksSought],
        responses=browsing_serializers.TaskListed(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str) -> Response:
        wanted = browsing_serializers.TasksSought(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        page: Any = self.paginate_queryset(
            browsing.tasks_sought(project=self.project, sought=wanted.validated_data)
        )
        return self.get_paginated_response(browsing_serializers.TaskListed(page, many=True).data)


class TaskView(ProjectView):
    @extend_schema(operation_id="getTask", responses=task_serializers.TaskDetail, tags=["tasks"])
    def get(self, request: Request, slug: str, id: UUID) -> Response:
        rows = RankingTask.objects.filter(project=self.project).select_related("prompt", "agreement")
        return Response(task_serializers.TaskDetail(get_object_or_404(rows, pk=id)).data)

    @extend_schema(
        operation_id="updateTask",
        description="Any task can be made a check: give the kind and the right answer.",
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


class ReservationsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listReservations",
        responses=task_serializers.Reservation(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str) -> Response:
        page: Any = self.paginate_queryset(
            Reservation.objects.filter(project=self.project).select_related("annotator")
        )
        return self.get_paginated_response(task_serializers.Reservation(page, many=True).data)

    @extend_schema(
        operation_id="reserveTasks",
        description="Keeps each of the tasks for all of the people: only they get it, before anything else.",
        request=task_serializers.NewReservations,
        responses={201: task_serializers.Reserved},
        tags=["tasks"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = task_serializers.NewReservations(data=request.data)
        given.is_valid(raise_exception=True)
        done = reservations.reserve_tasks(
            project=self.project,
            tasks=given.validated_data["tasks"],
            usernames=given.validated_data["annotators"],
            by=user_of(request),
        )
        return Response(task_serializers.Reserved(done).data, status=HTTPStatus.CREATED)


class LetGoView(ProjectView):
    @extend_schema(
        operation_id="letGoOfTasks",
        description="Ends reservations. A task without any is everybody's again.",
        request=task_serializers.LetGo,
        responses=task_serializers.LetGoCount,
        tags=["tasks"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = task_serializers.LetGo(data=request.data)
        given.is_valid(raise_exception=True)
        released = reservations.let_go(
            project=self.project,
            tasks=given.validated_data["tasks"],
            usernames=given.validated_data.get("annotators"),
        )
        return Response(task_serializers.LetGoCount({"released": released}).data)


class AttemptsView(ProjectView):
    @extend_schema(
        operation_id="grantAttempt",
        description="One more attempt for a member who failed to qualify.",
        request=None,
        responses=serializers.Member,
        tags=["projects"],
    )
    def post(self, request: Request, slug: str, username: str) -> Response:
        rows = Membership.objects.with_user().filter(project=self.project)
        member = get_object_or_404(rows, user__username=username)
        return Response(serializers.Member(membership.grant_attempt(member=member)).data)
