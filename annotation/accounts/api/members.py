"""Endpoints for project members: roles, pauses and qualification attempts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.accounts.api import member_serializers as serializers
from annotation.accounts.members import put_member
from annotation.api.base import ProjectView
from annotation.api.pages import NewestFirst
from annotation.desk import membership
from annotation.models import Membership


class MembersView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(operation_id="listMembers", responses=serializers.Member(many=True), tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        rows = Membership.objects.with_user().filter(project=self.project)
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.Member(page, many=True).data)

    @extend_schema(
        operation_id="putMember",
        description="Adds a member, or changes an existing member's role and state.",
        request=serializers.NewMember,
        responses={200: serializers.Member, 201: serializers.Member},
        tags=["projects"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewMember(data=request.data)
        given.is_valid(raise_exception=True)
        member, created = put_member(project=self.project, **given.validated_data)
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        return Response(serializers.Member(member).data, status=status)


class AttemptsView(ProjectView):
    @extend_schema(
        operation_id="grantAttempt",
        description="Grants one more attempt to a member who failed to qualify.",
        request=None,
        responses=serializers.Member,
        tags=["projects"],
    )
    def post(self, request: Request, slug: str, username: str) -> Response:
        rows = Membership.objects.with_user().filter(project=self.project)
        member = get_object_or_404(rows, user__username=username)
        return Response(serializers.Member(membership.grant_attempt(member=member)).data)
