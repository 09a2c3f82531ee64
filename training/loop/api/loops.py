from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import NewestFirst, user_of
from training.loop import loops
from training.loop.api import serializers
from training.models import Loop
from training.models.querysets import ProjectOwnedQuerySet
from training.runs.api.base import PROJECT, project_to_train


class LoopsView(generics.ListAPIView[Loop]):
    serializer_class = serializers.LoopSerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> ProjectOwnedQuerySet[Loop]:
        visible = Loop.objects.select_related("project").visible_to(user_of(self.request))
        return visible.of_project(self.request.query_params.get("project"))

    @extend_schema(parameters=[PROJECT])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the projects' training loops."""
        return super().get(request, *args, **kwargs)

    @extend_schema(request=serializers.SetLoopSerializer, responses={201: serializers.LoopSerializer})
    def post(self, request: Request) -> Response:
        """Create the project's training loop, or replace its settings."""
        asked = serializers.SetLoopSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        project = project_to_train(request, asked.validated_data.pop("project"))
        loop = loops.set_loop(project=project, settings=asked.validated_data)
        return Response(serializers.LoopSerializer(loop).data, status=HTTPStatus.CREATED)
