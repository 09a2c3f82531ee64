"""Views that preview, create and lift exclusions of annotators."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import ProjectView, row_of_project, user_of
from annotation.api.pages import NewestFirst
from annotation.models import Exclusion, Project
from annotation.oversight import exclusion, exclusion_preview
from annotation.oversight.api import exclusion_serializers as serializers
from config.heavy.routes import Heavy


def _who(project: Project, given: dict[str, Any]) -> exclusion.Who:
    username, label = given.get("username", ""), given.get("annotator_label", "")
    return exclusion.who_is(project=project, username=username, label=label)


class ExclusionsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listExclusions",
        description="Current and lifted exclusions, newest first.",
        responses=serializers.Exclusion(many=True),
        tags=["exclusions"],
    )
    def get(self, request: Request, slug: str) -> Response:
        rows = Exclusion.objects.filter(project=self.project)
        page: Any = self.paginate_queryset(rows.select_related("annotator", "created_by", "lifted_by"))
        return self.get_paginated_response(serializers.Exclusion(page, many=True).data)

    @extend_schema(
        operation_id="excludeAnnotator",
        description="Excludes an annotator: their answers are kept but don't count, and their slots reopen.",
        request=serializers.NewExclusion,
        responses={201: serializers.Exclusion},
        tags=["exclusions"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewExclusion(data=request.data)
        given.is_valid(raise_exception=True)
        who = _who(self.project, given.validated_data)
        reason = given.validated_data["reason"]
        made = exclusion.exclude_annotator(project=self.project, who=who, reason=reason, by=user_of(request))
        return Response(serializers.Exclusion(made).data, status=HTTPStatus.CREATED)


class PreviewView(ProjectView):
    heavy = {"POST": Heavy.REPORT}

    @extend_schema(
        operation_id="previewExclusion",
        description="Returns the effect of an exclusion without applying it.",
        request=serializers.WhoRanked,
        responses=serializers.ExclusionEffect,
        tags=["exclusions"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.WhoRanked(data=request.data)
        given.is_valid(raise_exception=True)
        who = _who(self.project, given.validated_data)
        effect = exclusion_preview.effect_of_excluding(project=self.project, who=who)
        return Response(serializers.ExclusionEffect(effect).data)


class LiftPreviewView(APIView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(
        operation_id="previewLift",
        description="Returns the effect of lifting the exclusion without lifting it.",
        request=None,
        responses=serializers.LiftEffect,
        tags=["exclusions"],
    )
    def get(self, request: Request, id: UUID) -> Response:
        row = row_of_project(request, Exclusion.objects.select_related("annotator"), id)
        return Response(serializers.LiftEffect(exclusion_preview.effect_of_lifting(exclusion=row)).data)


class LiftView(APIView):
    @extend_schema(
        operation_id="liftExclusion",
        description="Lifts the exclusion: the annotator's answers count again. If a slot was filled in the"
        " meantime, the task's overlap grows by one.",
        request=None,
        responses=serializers.LiftedExclusion,
        tags=["exclusions"],
    )
    def post(self, request: Request, id: UUID) -> Response:
        row = row_of_project(request, Exclusion.objects.select_related("annotator"), id)
        lifted = exclusion.lift_exclusion(exclusion=row, by=user_of(request))
        return Response(serializers.LiftedExclusion(lifted).data)
