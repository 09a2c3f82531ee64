from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import ProjectView, user_of
from annotation.api.pages import NewestFirst
from annotation.forms import serializers as form_serializers
from annotation.forms import versions
from annotation.forms.presets import PRESETS
from annotation.models import Project
from annotation.models.project import ProjectQuerySet
from annotation.models.project_counts import with_counts
from annotation.projects import projects
from annotation.projects.api import serializers


def _shown_to(request: Request) -> ProjectQuerySet:
    user = user_of(request)
    return with_counts(Project.objects.visible_to(user).with_role_of(user), user)


class ProjectsView(GenericAPIView[Project]):
    pagination_class = NewestFirst

    @extend_schema(operation_id="listProjects", responses=serializers.Project(many=True), tags=["projects"])
    def get(self, request: Request) -> Response:
        page: Any = self.paginate_queryset(_shown_to(request))
        return self.get_paginated_response(serializers.Project(page, many=True).data)

    @extend_schema(
        operation_id="createProject",
        description="Creates a project. Allowed for site admins and for managers of any project; a manager"
        " becomes the new project's manager.",
        request=serializers.NewProject,
        responses={201: serializers.Project},
        tags=["projects"],
    )
    def post(self, request: Request) -> Response:
        given = serializers.NewProject(data=request.data)
        given.is_valid(raise_exception=True)
        user = user_of(request)
        # Without a membership, a manager could not see the new project; admins need none.
        project = projects.create_project(**given.validated_data, manager=None if user.is_admin else user)
        shown = _shown_to(request).get(pk=project.pk)
        return Response(serializers.Project(shown).data, status=HTTPStatus.CREATED)


class ProjectDetailView(ProjectView):
    @extend_schema(operation_id="getProject", responses=serializers.Project, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(serializers.Project(_shown_to(request).get(pk=self.project.pk)).data)

    @extend_schema(
        operation_id="updateProject",
        request=serializers.ProjectChanges,
        responses=serializers.Project,
        tags=["projects"],
    )
    def patch(self, request: Request, slug: str) -> Response:
        given = serializers.ProjectChanges(data=request.data)
        given.is_valid(raise_exception=True)
        projects.update_project(project=self.project, changes=given.validated_data)
        return self.get(request, slug)


class FormCheckView(ProjectView):
    @extend_schema(
        operation_id="checkForm",
        description="Checks whether the project can use this form, and returns the effect of the change."
        " Changes nothing.",
        request=form_serializers.FormToCheck,
        responses=form_serializers.FormEffect,
        tags=["projects"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = form_serializers.FormToCheck(data=request.data)
        given.is_valid(raise_exception=True)
        effect = versions.effect_of(project=self.project, form=given.validated_data["form"])
        return Response(form_serializers.FormEffect(effect).data)


class PresetsView(APIView):
    @extend_schema(
        operation_id="listPresets",
        description="The presets for the answer form of a new project.",
        responses=form_serializers.Preset(many=True),
        tags=["projects"],
    )
    def get(self, request: Request) -> Response:
        shown = [{"name": name, "form": form.to_json()} for name, form in PRESETS.items()]
        return Response(form_serializers.Preset(shown, many=True).data)
