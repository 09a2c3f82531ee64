"""The endpoints for imports."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api.base import ProjectView, row_of_project, user_of
from annotation.api.pages import NewestFirst
from annotation.content.api import serializers
from annotation.content.import_jobs.launch import launch_hub_import, launch_import
from annotation.content.import_jobs.transitions import cancel_import
from annotation.content.importing import remembered_mappings
from annotation.content.importing.lines import ImportedVotes, tasks_of
from annotation.content.importing.options import ImportOptions
from annotation.models import Import
from annotation.models.imports import ImportQuerySet
from config.heavy.routes import Heavy
from config.problems import FieldProblem, Problem
from preferences.formats.preview import SHOWN_RECORDS, FilePreview
from preferences.records import RankingRecord, Record


class ImportsView(ProjectView, ListAPIView[Import]):
    parser_classes = [MultiPartParser]
    serializer_class = serializers.ImportSummary
    pagination_class = NewestFirst

    def get_queryset(self) -> ImportQuerySet:
        return Import.objects.with_names().without_reports().filter(project=self.project)

    @extend_schema(operation_id="listImports", tags=["data"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Lists the project's imports, newest first, without their reports."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="importFile",
        description="Queues the import of a file. `imports/{id}/` returns the progress and, at the end, the"
        " report. Valid rows are imported, and invalid rows are reported. Importing a file again changes"
        " nothing. A file whose beginning can't be read, or whose format is unknown, is refused immediately.",
        request={"multipart/form-data": serializers.ImportUpload},
        responses={202: serializers.Import},
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response:
        file, options = _upload(request)
        queued = launch_import(project=self.project, user=user_of(request), file=file, options=options)
        return _accepted(queued)


class HubImportView(ProjectView):
    @extend_schema(
        operation_id="importHubDataset",
        description="Queues the download and the import of a dataset from the Hugging Face Hub.",
        request=serializers.HubImport,
        responses={202: serializers.Import},
        tags=["data"],
    )
    def post(self, request: Request, slug: str) -> Response:
        given = serializers.HubImport(data=request.data)
        given.is_valid(raise_exception=True)
        options = dict(given.validated_data)
        hub: Any = {name: options.pop(name, None) for name in ("dataset", "part", "split", "revision")}
        queued = launch_hub_import(
            project=self.project, user=user_of(request), hub=hub, options=_options(options)
        )
        return _accepted(queued)


class ImportView(APIView):
    @extend_schema(operation_id="getImport", responses=serializers.Import, tags=["data"])
    def get(self, request: Request, id: UUID) -> Response:
        """Returns the state and the progress of an import and, at its end, the report."""
        return Response(serializers.Import(row_of_project(request, Import.objects.with_names(), id)).data)


class CancelImportView(APIView):
    @extend_schema(operation_id="cancelImport", request=None, responses=serializers.Import, tags=["data"])
    def post(self, request: Request, id: UUID) -> Response:
        """Cancels a queued import immediately, or a running import after its current batch. The imported rows
        are kept."""
        row_of_project(request, Import.objects.with_names(), id)
        return Response(serializers.Import(cancel_import(id=id)).data)


class ImportPreviewView(ProjectView):
    heavy = {"POST": Heavy.REPORT}
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
        found = remembered_mappings.preview_file(
            project=self.project, file=data["file"], mapping=data.get("mapping")
        )
        votes, per_task = ImportedVotes(data["votes"]), data.get("responses_per_task")
        tasks = [task for record in found.file.records for task in tasks_of(record, votes, per_task)]
        shown = preview_data(found.file, tasks[:SHOWN_RECORDS]) | {"remembered": found.remembered}
        return Response(serializers.ImportPreview(shown).data)


def _accepted(queued: Import) -> Response:
    """The response for a queued import. The Location header contains the import's URL."""
    return Response(
        serializers.Import(queued).data,
        status=HTTPStatus.ACCEPTED,
        headers={"Location": f"/api/v1/imports/{queued.pk}/"},
    )


def preview_data(found: FilePreview, tasks: Sequence[Record]) -> dict[str, Any]:
    return {
        "format": found.format and found.format.name,
        "title": found.format.title if found.format else "",
        "problem": found.problem,
        "columns": [{"name": name, "example": example} for name, example in found.columns.items()],
        "mapping": found.mapping,
        "tasks": [_task_data(task) for task in tasks],
    }


def _task_data(task: Record) -> dict[str, Any]:
    ranking = task.ranking or RankingRecord(())
    return {
        "messages": task.messages,
        "responses": [
            {
                "text": response.text,
                "model": response.model,
                "ratings": ranking.ratings.get(index) or {},
                "flags": ranking.flags.get(index) or [],
            }
            for index, response in enumerate(task.responses)
        ],
        "tiers": ranking.tiers if task.ranking else None,
        "annotator": ranking.annotator,
        "strength": ranking.strength,
        "not_rankable": ranking.not_rankable,
        "all_bad": ranking.all_bad,
        "comment": ranking.comment,
        "rewrite": ranking.rewrite,
    }


def _upload(request: Request) -> tuple[Any, ImportOptions]:
    """The uploaded file, and the options of its import."""
    given = serializers.ImportUpload(data=request.data)
    given.is_valid(raise_exception=True)
    options = dict(given.validated_data)
    file = options.pop("file")
    _check_size(file.size)
    return file, _options(options)


def _options(given: dict[str, Any]) -> ImportOptions:
    chosen = {**given, "format": given.get("format") or None, "votes": ImportedVotes(given["votes"])}
    return cast(ImportOptions, chosen)


def _check_size(size: int) -> None:
    most = settings.IMPORT_MAX_BYTES
    if size <= most:
        return
    raise Problem(
        f"The file is {size:,} bytes, but uploads are limited to {most:,} bytes"
        " (RANKLOOP_IMPORT_MAX_BYTES). Use manage.py import_responses on the server instead.",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        errors=[FieldProblem("file", "The file is too large.")],
    )
