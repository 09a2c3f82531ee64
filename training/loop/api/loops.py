from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import user_of
from annotation.api.pages import NewestFirst
from annotation.api.parameters import Asked, parses
from training.loop import loops
from training.loop.api import serializers
from training.models import Loop
from training.runs.api.base import ProjectQuery, project_to_train


class LoopsView(generics.GenericAPIView[Loop]):
    pagination_class = NewestFirst

    @parses(ProjectQuery)
    @extend_schema(responses=serializers.LoopSerializer(many=True))
    def get(self, request: Request, asked: Asked) -> Response:
        """List the projects' training loops."""
        visible = Loop.objects.select_related("project").visible_to(user_of(request))
        page: Any = self.paginate_queryset(visible.of_project(asked.get("project")))
        return self.get_paginated_response(serializers.LoopSerializer(page, many=True).data)

    @extend_schema(request=serializers.SetLoopSerializer, responses={201: serializers.LoopSerializer})
    def post(self, request: Request) -> Response:
        """Create the project's training loop, or update its settings. Omitted settings keep their values."""
        asked = serializers.SetLoopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = project_to_train(request, asked.validated_data.pop("project"))
        loop = loops.set_loop(project=project, settings=asked.validated_data)
        return Response(serializers.LoopSerializer(loop).data, status=HTTPStatus.CREATED)
