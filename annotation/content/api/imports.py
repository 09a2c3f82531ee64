"""Data in and out: imports, snapshots, exports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import NewestFirst, ProjectView, allow_in, user_of
from annotation.content import imports
from annotation.content.api import serializers
from annotation.content.api.import_progress import LinesRenderer, told
from annotation.datasets import exports, snapshots
from annotation.models import DatasetSnapshot, Project
from config.problems import FieldProblem, Problem
from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS

MAX_UPLOAD_BYTES = 2**30
DEFAULT_FORMAT = "trl_preference"


class ImportsView(ProjectView):
    parser_classes = [MultiPartParser]
    renderer_classes = [JSONRenderer, LinesRenderer]

    @extend_schema(
        operation_id="importFile",
        description="Takes in what is good and names the rows that are not; sent again, it changes nothing."
        " As application/x-ndjson it is told while it runs: lines of `progress`, then `report` or `problem`.",
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
            return told(imports.importing(project=self.project, **given))
        report = imports.import_file(project=self.project, **given)
        status = HTTPStatus.OK if report.dry_run else HTTPStatus.CREATED
        return Response(serializers.ImportReport(report).data, status=status)


def _upload(request: Request) -> dict[str, Any]:
    given = serializers.ImportUpload(data=request.data)
    given.is_valid(raise_exception=True)
    if given.validated_data["file"].size > MAX_UPLOAD_BYTES:
        raise _too_large(given.validated_data["file"].size)
    return {**given.validated_data, "format": given.validated_data.get("format") or None}


class FormatsView(APIView):
    @extend_schema(
        operation_id="listFormats",
        description="What files are taken in, and what snapshots can be exported to.",
        responses=serializers.Formats,
        tags=["data"],
    )
    def get(self, request: Request) -> Response:
        every = {"imports": IMPORT_FORMATS.values(), "exports": EXPORT_FORMATS.values()}
        return Response(serializers.Formats(every).data)


class SnapshotsView(ProjectView):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listSnapshots",
        description="The project's snapshots, newest first.",
        responses=serializers.Snapshot(many=True),
        tags=["data"],
    )
    def get(self, request: Request, slug: str) -> Response:
        rows = DatasetSnapshot.objects.filter(project=self.project).select_related("project", "created_by")
        page: Any = self.paginate_queryset(rows)
        return self.get_paginated_response(serializers.Snapshot(page, many=True).data)

    @extend_schema(
        operation_id="freezeSnapshot",
        description="Freezes the selected rankings (all, unless said) as they stand now.",
        request=serializers.NewSnapshot,
        responses={201: serializers.Snapshot},
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.NewSnapshot(data=request.data)
        given.is_valid(raise_exception=True)
        snapshot = snapshots.freeze_snapshot(
            project=self.project, created_by=user_of(request), **given.validated_data
        )
        return Response(serializers.Snapshot(snapshot).data, status=HTTPStatus.CREATED)


_JSON_EXPORT = {"type": "array", "items": {"type": "object", "additionalProperties": True}}


class ExportView(APIView):
    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """`?format=` names the export here, not DRF's renderer; and the file is what it is for any Accept."""
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)

    @extend_schema(
        operation_id="exportSnapshot",
        description="The file, streamed while it is made. A HEAD request makes it once and answers its"
        " size and X-Checksum, `sha256:` and the digest of its bytes; a snapshot's own file always has it.",
        parameters=[
            OpenApiParameter("format", str, enum=exports.FORMAT_NAMES, default=DEFAULT_FORMAT),
            *(OpenApiParameter(name, str, description=text) for name, text in exports.OPTIONS.items()),
        ],
        # A JSON document is a list of the format's own objects; all others are files to a client of the API.
        responses={
            (200, media_type): _JSON_EXPORT if media_type == "application/json" else OpenApiTypes.BINARY
            for media_type in exports.MEDIA_TYPES
        },
        tags=["data"],
    )
    def get(self, request: Request, id: UUID) -> StreamingHttpResponse:
        return _download(*self._wanted(request, id))

    def head(self, request: Request, id: UUID) -> HttpResponse:
        snapshot, format, options = self._wanted(request, id)
        size, sha256 = exports.export_checksum(snapshot=snapshot, format=format, options=options)
        headers = _headers(snapshot, format) | {"Content-Length": str(size), "X-Checksum": f"sha256:{sha256}"}
        return HttpResponse(content_type=exports.media_type(format), headers=headers)

    def _wanted(self, request: Request, id: UUID) -> tuple[DatasetSnapshot, str, dict[str, str]]:
        visible = DatasetSnapshot.objects.filter(project__in=Project.objects.visible_to(user_of(request)))
        snapshot = get_object_or_404(visible.select_related("project"), pk=id)
        allow_in(request, snapshot.project)
        options = {name: str(value) for name, value in request.query_params.items()}
        return snapshot, options.pop("format", DEFAULT_FORMAT), options


def _download(snapshot: DatasetSnapshot, format: str, options: dict[str, str]) -> StreamingHttpResponse:
    chunks = exports.export_snapshot(snapshot=snapshot, format=format, options=options)
    return StreamingHttpResponse(
        _served(chunks), content_type=exports.media_type(format), headers=_headers(snapshot, format)
    )


def _headers(snapshot: DatasetSnapshot, format: str) -> dict[str, str]:
    name = exports.export_name(snapshot=snapshot, format=format)
    checksum = {"X-Checksum": f"sha256:{snapshot.sha256}"} if format == exports.PARQUET else {}
    return {"Content-Disposition": str(content_disposition_header(True, name)), **checksum}


async def _served(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Chunk by chunk, each made in a thread. A plain iterator would be gathered whole by ASGI."""
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk


def _too_large(size: int) -> Problem:
    return Problem(
        f"The file has {size:,} bytes; the most that can be uploaded is {MAX_UPLOAD_BYTES:,}."
        " Use manage.py import_responses on the server.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors=[FieldProblem("file", "It is too large.")],
    )
