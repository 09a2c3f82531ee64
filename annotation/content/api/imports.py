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
from annotation.content import imports, mappings
from annotation.content.api import serializers
from annotation.content.api.import_progress import LinesRenderer, streamed
from annotation.content.import_lines import ImportedVotes
from config.problems import FieldProblem, Problem
from preferences.formats.preview import FilePreview

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


class ImportPreviewView(ProjectView):
    parser_classes = [MultiPartParser]

    @extend_schema(
        operation_id="previewImport",
        description="Reads the first rows of a file and returns its format, its columns and its first three"
        " tasks. Nothing is stored.",
        request={"multipart/form-data": serializers.PreviewUpload},
        responses={200: serializers.ImportPreview},
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.PreviewUpload(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        _check_size(data["file"].size)
        found = mappings.preview_file(project=self.project, file=data["file"], mapping=data.get("mapping"))
        return Response(serializers.ImportPreview(preview_data(found)).data)


def preview_data(found: FilePreview) -> dict[str, Any]:
    return {
        "format": found.format and found.format.name,
        "title": found.format.title if found.format else "",
        "problem": found.problem,
        "columns": [{"name": name, "example": example} for name, example in found.columns.items()],
        "mapping": found.mapping,
        "tasks": [
            {
                "messages": record.messages,
                "responses": record.responses,
                "tiers": record.ranking and record.ranking.tiers,
                "annotator": record.ranking.annotator if record.ranking else "",
            }
            for record in found.records
        ],
    }


def _upload(request: Request) -> dict[str, Any]:
    given = serializers.ImportUpload(data=request.data)
    given.is_valid(raise_exception=True)
    data = given.validated_data
    _check_size(data["file"].size)
    return {**data, "format": data.get("format") or None, "votes": ImportedVotes(data["votes"])}


def _check_size(size: int) -> None:
    if size <= MAX_UPLOAD_BYTES:
        return
    raise Problem(
        f"The file has {size:,} bytes; uploads are limited to {MAX_UPLOAD_BYTES:,}."
        " Use manage.py import_responses on the server instead.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors=[FieldProblem("file", "The file is too large.")],
    )
