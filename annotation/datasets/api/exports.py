"""Views that stream exports of snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from annotation.api.base import allow_in, user_of
from annotation.datasets import exports
from annotation.datasets.export_cache import kept_export
from annotation.models import DatasetSnapshot, Project
from config.heavy.routes import Heavy

DEFAULT_FORMAT = "trl_preference"


_JSON_EXPORT = {"type": "array", "items": {"type": "object", "additionalProperties": True}}


class ExportView(APIView):
    heavy = {"GET": Heavy.DOWNLOAD}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """`?format=` selects the export format, not DRF's renderer, and any Accept header is accepted."""
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)

    @extend_schema(
        operation_id="exportSnapshot",
        description="The exported file, streamed during conversion. A HEAD request runs the"
        " conversion once and returns Content-Length and X-Checksum (`sha256:` and the digest)."
        " Downloads of the snapshot's Parquet file always have both headers.",
        parameters=[
            OpenApiParameter("format", str, enum=exports.FORMAT_NAMES, default=DEFAULT_FORMAT),
            *(OpenApiParameter(name, str, description=text) for name, text in exports.OPTIONS.items()),
        ],
        # The schema describes JSON exports as lists of objects, and all others as files.
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
    chunks = kept_export(snapshot=snapshot, format=format, options=options)
    return StreamingHttpResponse(
        _served(chunks), content_type=exports.media_type(format), headers=_headers(snapshot, format)
    )


def _headers(snapshot: DatasetSnapshot, format: str) -> dict[str, str]:
    name = exports.export_name(snapshot=snapshot, format=format)
    checksum = {"X-Checksum": f"sha256:{snapshot.sha256}"} if format == exports.PARQUET else {}
    return {"Content-Disposition": str(content_disposition_header(True, name)), **checksum}


async def _served(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yields chunks produced in a thread, because under ASGI, Django would read a synchronous iterator to its
    end before sending the first chunk."""
    while chunk := await asyncio.to_thread(next, chunks, b""):
        yield chunk
