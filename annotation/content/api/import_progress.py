"""Streams an import's progress, one JSON object per line: `progress`, and finally `report` or `problem`.

An import of 160,000 rows takes about a minute. A client that accepts `application/x-ndjson` can show the
progress; closing the connection stops the import after the current batch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Generator
from contextlib import closing
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from rest_framework.renderers import JSONRenderer

from annotation.content.api.serializers import ImportReport as ReportSerializer
from annotation.content.import_report import ImportProgress, ImportReport
from annotation.database.acting import acting_as, current_actor
from config.problems import Problem, problem_body

Steps = Generator[ImportProgress, None, ImportReport]
logger = logging.getLogger(__name__)


class LinesRenderer(JSONRenderer):
    """Makes content negotiation accept the streaming media type. Renders only errors, each as a single
    object."""

    media_type = "application/x-ndjson"
    format = "ndjson"


def streamed(steps: Steps) -> StreamingHttpResponse:
    """Streams the progress. Runs the first step immediately, so that an unknown format gets an error status
    like any other refusal."""
    first = next(steps)
    return StreamingHttpResponse(
        _lines(_messages(first, steps), current_actor()), content_type=LinesRenderer.media_type
    )


async def _lines(messages: Generator[dict[str, Any], None, None], actor: str) -> AsyncIterator[bytes]:
    """Runs every step in the response's single synchronous thread. A dry run is one transaction, and a
    transaction must stay in one thread."""

    def line() -> bytes:
        # Sets the actor again, because the middleware has finished by the time the response is streamed.
        with acting_as(actor):
            message = next(messages, None)
        return b"" if message is None else json.dumps(message).encode() + b"\n"

    try:
        while text := await sync_to_async(line)():
            yield text
    finally:
        await sync_to_async(messages.close)()


def _messages(first: ImportProgress, steps: Steps) -> Generator[dict[str, Any], None, None]:
    with closing(steps):
        try:
            yield {"progress": asdict(first)}
            report = yield from _progress(steps)
            yield {"report": ReportSerializer(report).data}
        except Problem as error:
            yield _problem(error.status, error.detail, type=error.type, errors=error.errors)
        except Exception:
            logger.exception("An import failed after its response had started.")
            detail = "The server failed. Imported rows are kept; import the same file again to add the rest."
            yield _problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)


def _progress(steps: Steps) -> Generator[dict[str, Any], None, ImportReport]:
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            report: ImportReport = end.value
            return report
        yield {"progress": asdict(progress)}


def _problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    return {"problem": problem_body(status=status, detail=detail, **more)}
