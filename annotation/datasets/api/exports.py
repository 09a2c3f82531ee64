"""Views that stream exports of snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from annotation.api.base import row_of_project
from annotation.api.parameters import Asked, Number, Query, parses
from annotation.datasets import exports
from annotation.datasets.export_cache import export_checksum, kept_export
from annotation.models import DatasetSnapshot
from config.heavy.routes import Heavy
from preferences.formats.export_format import Option
from preferences.text import MAX_NAME_CHARACTERS

DEFAULT_FORMAT = "trl_preference"


_JSON_EXPORT = {"type": "array", "items": {"type": "object", "additionalProperties": True}}


def _field(option: Option, meaning: str) -> serializers.Field[Any, Any, Any, Any]:
    if option.is_number:
        return Number(required=False, help_text=meaning)
    if option.choices:
        return serializers.ChoiceField(choices=option.choices, required=False, help_text=meaning)
    return serializers.CharField(max_length=MAX_NAME_CHARACTERS, required=False, help_text=meaning)


class ExportQuery(Query):
    # If a misspelt option were ignored, the file would not contain the data that the user expects.
    refuses_unknown = True

    def get_fields(self) -> dict[str, Any]:
        format = serializers.ChoiceField(choices=exports.FORMAT_NAMES, default=DEFAULT_FORMAT)
        return {"format": format, **{name: _field(*option) for name, option in exports.OPTIONS.items()}}


class ExportView(APIView):
    heavy = {"GET": Heavy.DOWNLOAD}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        """Accepts any Accept header."""
        renderer = self.get_renderers()[0]
        return renderer, str(renderer.media_type)

    @parses(ExportQuery)
    @extend_schema(
        operation_id="exportSnapshot",
        description="The exported file, streamed during conversion. A HEAD request"
        " returns Content-Length and X-Checksum (`sha256:` and the digest)."
        " Downloads of the snapshot's Parquet file always have both headers.",
        # The schema describes JSON exports as lists of objects, and all others as files.
        responses={
            (200, media_type): _JSON_EXPORT if media_type == "application/json" else OpenApiTypes.BINARY
            for media_type in exports.MEDIA_TYPES
        },
        tags=["data"],
    )
    def get(self, request: Request, id: UUID, asked: Asked) -> StreamingHttpResponse:
        return _download(_snapshot(request, id), *_format_of(asked))

    @parses(ExportQuery)
    def head(self, request: Request, id: UUID, asked: Asked) -> HttpResponse:
        snapshot = _snapshot(request, id)
        format, options = _format_of(asked)
        size, sha256 = export_checksum(snapshot=snapshot, format=format, options=options)
        headers = _headers(snapshot, format) | {"Content-Length": str(size), "X-Checksum": f"sha256:{sha256}"}
        return HttpResponse(content_type=exports.media_type(format), headers=headers)


def _snapshot(request: Request, id: UUID) -> DatasetSnapshot:
    return row_of_project(request, DatasetSnapshot.objects.all(), id)


def _format_of(asked: Asked) -> tuple[str, dict[str, str]]:
    options = {name: str(value) for name, value in asked.items()}
    return options.pop("format"), options


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
