"""The view that lists import and export formats."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.datasets.api import serializers
from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS


class FormatsView(APIView):
    @extend_schema(
        operation_id="listFormats",
        description="The import and export formats.",
        responses=serializers.Formats,
        tags=["data"],
    )
    def get(self, request: Request) -> Response:
        every = {"imports": IMPORT_FORMATS.values(), "exports": EXPORT_FORMATS.values()}
        return Response(serializers.Formats(every).data)
