"""Reservations: managers reserve tasks for chosen annotators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView, user_of
from annotation.api.pages import NewestFirst
from annotation.desk import reservations
from annotation.desk.api import reservation_serializers as serializers
from annotation.models import Reservation


class ReservationsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listReservations",
        responses=serializers.Reservation(many=True),
        tags=["tasks"],
    )
    def get(self, request: Request, slug: str) -> Response:
        page: Any = self.paginate_queryset(
            Reservation.objects.filter(project=self.project).select_related("annotator")
        )
        return self.get_paginated_response(serializers.Reservation(page, many=True).data)

    @extend_schema(
        operation_id="reserveTasks",
        description="Reserves each task for all of these annotators. Only these annotators get the"
        " task, and they get it before any other task.",
        request=serializers.NewReservations,
        responses={201: serializers.Reserved},
        tags=["tasks"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewReservations(data=request.data)
        given.is_valid(raise_exception=True)
        done = reservations.reserve_tasks(
            project=self.project,
            tasks=given.validated_data["tasks"],
            usernames=given.validated_data["annotators"],
            by=user_of(request),
        )
        return Response(serializers.Reserved(done).data, status=HTTPStatus.CREATED)


class LetGoView(ProjectView):
    @extend_schema(
        operation_id="letGoOfTasks",
        description="Ends reservations. A task without reservations is open to everybody again.",
        request=serializers.LetGo,
        responses=serializers.LetGoCount,
        tags=["tasks"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.LetGo(data=request.data)
        given.is_valid(raise_exception=True)
        released = reservations.let_go(
            project=self.project,
            tasks=given.validated_data["tasks"],
            usernames=given.validated_data.get("annotators"),
        )
        return Response(serializers.LetGoCount({"released": released}).data)
