from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView
from annotation.api.parameters import Asked, parses
from annotation.oversight.api import report_serializers
from annotation.oversight.leaderboard import leaderboard
from annotation.oversight.progress import progress
from annotation.oversight.quality.report import quality
from annotation.oversight.report_cache import cached_report
from config.heavy.routes import Heavy


class ProgressView(ProjectView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(operation_id="getProgress", responses=report_serializers.Progress, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(report_serializers.Progress(progress(project=self.project)).data)


class QualityView(ProjectView):
    heavy = {"GET": Heavy.REPORT}

    @extend_schema(operation_id="getQuality", responses=report_serializers.Quality, tags=["projects"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(
            cached_report(
                project=self.project,
                name="quality",
                options={},
                compute=lambda: dict(report_serializers.Quality(quality(project=self.project)).data),
            )
        )


class LeaderboardView(ProjectView):
    heavy = {"GET": Heavy.REPORT}

    @parses(report_serializers.LeaderboardQuery)
    @extend_schema(
        operation_id="getLeaderboard",
        responses=report_serializers.Leaderboard,
        tags=["projects"],
    )
    def get(self, request: Request, slug: str, asked: Asked) -> Response:
        def compute() -> dict[str, Any]:
            return dict(report_serializers.Leaderboard(leaderboard(project=self.project, **asked)).data)

        return Response(
            cached_report(project=self.project, name="leaderboard", options=asked, compute=compute)
        )
