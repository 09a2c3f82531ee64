"""The endpoint that imports a file."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from annotation.api.base import ProjectView
from annotation.content import imports
from annotation.content.api import serializers
from annotation.content.api.import_progress import LinesRenderer, streamed
from config.problems import FieldProblem, Problem

MAX_UPLOAD_BYTES = 2**30


class ImportsView(ProjectView):
    parser_classes = [MultiPartParser]
    renderer_classes = [JSONRenderer, LinesRenderer]

    @extend_schema(
        operation_id="importFile",
        description="Imports the valid rows and reports the invalid rows. Importing a file again changes"
        " nothing."
        " With Accept: application/x-ndjson, streams lines of `progress` and then `report` or `problem`.",
        request={"multipart/form-data": serializers.ImportUpload},
        responses={
            (201, JSONRenderer.media_type): serializers.ImportReport,
            (200, JSONRenderer.media_type): serializers.ImportReport,
            (200, LinesRenderer.media_type): serializers.ImportNews,
        },
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response | StreamingHttpResponse:
        given = _upload(request)
        if request.accepted_renderer.media_type == LinesRenderer.media_type:
            return streamed(imports.importing(project=self.project, **given))
        report = imports.import_file(project=self.project, **given)
        status = HTTPStatus.OK if report.dry_run else HTTPStatus.CREATED
        return Response(serializers.ImportReport(report).data, status=status)


def _upload(request: Request) -> dict[str, Any]:
    given = serializers.ImportUpload(data=request.data)
    given.is_valid(raise_exception=True)
    if given.validated_data["file"].size > MAX_UPLOAD_BYTES:
        raise _too_large(given.validated_data["file"].size)
    return {**given.validated_data, "format": given.validated_data.get("format") or None}


def _too_large(size: int) -> Problem:
    return Problem(
        f"The file has {size:,} bytes; uploads are limited to {MAX_UPLOAD_BYTES:,}."
        " Use manage.py import_responses on the server instead.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors=[FieldProblem("file", "The file is too large.")],
    )
