from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api import serializers
from annotation.api.base import NewestFirst, ProjectView, user_of
from annotation.models import Membership, Project
from annotation.models.project import ProjectQuerySet
from annotation.permissions import Action, require
from annotation.services import projects, reports


def _shown_to(request: Request) -> ProjectQuerySet:
    user = user_of(request)
    return Project.objects.visible_to(user).with_role_of(user).with_counts(user)


class ProjectsView(GenericAPIView[Project]):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listProjects", responses=serializers.ProjectOut(many=True), tags=["projects"]
    )
    def get(self, request: Request) -> Response:
        page: Any = self.paginate_queryset(_shown_to(request))
        return self.get_paginated_response(serializers.ProjectOut(page, many=True).data)

    @extend_schema(
        operation_id="createProject",
        request=serializers.ProjectIn,
        responses={201: serializers.ProjectOut},
        tags=["projects"],
    )
    def post(self, request: Request) -> Response:
        require(user_of(request), Action.CREATE_PROJECT)
        given = serializers.ProjectIn(data=request.data)
        given.is_valid(raise_exception=True)
        project = projects.create_project(**given.validated_data)
        shown = _shown_to(request).get(pk=project.pk)
        return Response(serializers.ProjectOut(shown).data, status=HTTPStatus.CREATED)


class ProjectDetailView(ProjectView):
    actions = {"GET": Action.READ_PROJECT, "PATCH": Action.CHANGE_PROJECT}

    @extend_schema(operation_id="getProject", responses=serializers.ProjectOut, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(serializers.ProjectOut(_shown_to(request).get(pk=self.project.pk)).data)

    @extend_schema(
        operation_id="updateProject",
        request=serializers.ProjectChanges,
        responses=serializers.ProjectOut,
        tags=["projects"],
    )
    def patch(self, request: Request, slug: str) -> Response:
        given = serializers.ProjectChanges(data=request.data)
        given.is_valid(raise_exception=True)
        projects.update_project(project=self.project, changes=given.validated_data)
        return self.get(request, slug)


class MembersView(ProjectView):
    actions = {"GET": Action.MANAGE_MEMBERS, "POST": Action.MANAGE_MEMBERS}
    pagination_class = NewestFirst

    @extend_schema(operation_id="listMembers", responses=serializers.MemberOut(many=True), tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        rows = Membership.objects.with_user().filter(project=self.project)
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.MemberOut(page, many=True).data)

    @extend_schema(
        operation_id="putMember",
        description="Adds a member; one who is there gets the role and the state given.",
        request=serializers.MemberIn,
        responses={200: serializers.MemberOut, 201: serializers.MemberOut},
        tags=["projects"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.MemberIn(data=request.data)
        given.is_valid(raise_exception=True)
        member, created = projects.put_member(project=self.project, **given.validated_data)
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        return Response(serializers.MemberOut(member).data, status=status)


class _Report(ProjectView):
    actions = {"GET": Action.READ_QUALITY}


class ProgressView(_Report):
    @extend_schema(operation_id="getProgress", responses=serializers.ProgressOut, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(serializers.ProgressOut(reports.progress(project=self.project)).data)


class QualityView(_Report):
    @extend_schema(operation_id="getQuality", responses=serializers.QualityOut, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(serializers.QualityOut(reports.quality(project=self.project)).data)


class LeaderboardView(_Report):
    @extend_schema(
        operation_id="getLeaderboard", responses=serializers.StandingOut(many=True), tags=["projects"]
    )
    def get(self, request: Request, slug: str) -> Response:
        standings: Any = reports.leaderboard(project=self.project)
        return Response(serializers.StandingOut(standings, many=True).data)
