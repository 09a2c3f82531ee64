"""Endpoints for invitations. Managers create and revoke invitations. Anybody with an invitation's link can
read and accept it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.accounts import invitations
from annotation.accounts.api import invitation_serializers as shapes
from annotation.accounts.api import login_serializers
from annotation.accounts.api.auth import LogInView, me
from annotation.accounts.login import joining
from annotation.api.base import ProjectView, row_of_project, user_of
from annotation.api.pages import NewestFirst
from annotation.models import Invitation


class InvitationsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listInvitations", responses=shapes.Invitation(many=True), tags=["invitations"]
    )
    def get(self, request: Request, slug: str) -> Response:
        rows = Invitation.objects.with_people().filter(project=self.project)
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(shapes.Invitation(page, many=True).data)

    @extend_schema(
        operation_id="createInvitation",
        description="Only this response contains the token. The invitation link is /join#TOKEN.",
        request=shapes.NewInvitation,
        responses={201: shapes.InvitationWithToken},
        tags=["invitations"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = shapes.NewInvitation(data=request.data)
        given.is_valid(raise_exception=True)
        invitation, token = invitations.invite(
            project=self.project, by=user_of(request), **given.validated_data
        )
        shown = {"invitation": invitation, "token": token}
        return Response(shapes.InvitationWithToken(shown).data, status=HTTPStatus.CREATED)


class RevokeInvitationView(APIView):
    @extend_schema(
        operation_id="revokeInvitation", request=None, responses=shapes.Invitation, tags=["invitations"]
    )
    def post(self, request: Request, id: UUID) -> Response:
        invitation = row_of_project(request, Invitation.objects.with_people(), id)
        return Response(shapes.Invitation(invitations.revoke(invitation=invitation)).data)


class LookView(LogInView):
    @extend_schema(
        operation_id="lookAtInvitation",
        description="Returns the invitation's project and role. This is a POST request, so that no URL or log"
        " contains the token.",
        request=shapes.InvitationToken,
        responses=shapes.InvitedTo,
        tags=["invitations"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.InvitationToken(data=request.data)
        given.is_valid(raise_exception=True)
        found = joining.look(request=request._request, **given.validated_data)
        return Response(shapes.InvitedTo(found).data)


class EnterView(LogInView):
    @extend_schema(
        operation_id="acceptInvitation",
        description="Creates an account, adds it to the project, and logs the user in.",
        request=shapes.NewAccount,
        responses={201: login_serializers.Me},
        tags=["invitations"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.NewAccount(data=request.data)
        given.is_valid(raise_exception=True)
        user = joining.enter(request=request._request, **given.validated_data)
        return me(request, user, status=HTTPStatus.CREATED)


class JoinView(APIView):
    @extend_schema(
        operation_id="joinByInvitation",
        description="Adds the logged-in account to the project.",
        request=shapes.InvitationToken,
        responses=login_serializers.MembershipOfMe,
        tags=["invitations"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.InvitationToken(data=request.data)
        given.is_valid(raise_exception=True)
        member = joining.join(request=request._request, user=user_of(request), **given.validated_data)
        return Response(login_serializers.MembershipOfMe(member).data)
