from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView
from annotation.api.parameters import Asked, parses
from annotation.oversight.api import report_serializers
from annotation.oversight.leaderboard import leaderboard
from annotation.oversight.progress import progress
from annotation.oversight.quality.report import quality


class ProgressView(ProjectView):
    @extend_schema(operation_id="getProgress", responses=report_serializers.Progress, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(report_serializers.Progress(progress(project=self.project)).data)


class QualityView(ProjectView):
    @extend_schema(operation_id="getQuality", responses=report_serializers.Quality, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(report_serializers.Quality(quality(project=self.project)).data)


class LeaderboardView(ProjectView):
    @parses(report_serializers.LeaderboardQuery)
    @extend_schema(
        operation_id="getLeaderboard",
        responses=report_serializers.Leaderboard,
        tags=["projects"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        found = leaderboard(project=self.project, **asked)
        return Response(report_serializers.Leaderboard(found).data)
