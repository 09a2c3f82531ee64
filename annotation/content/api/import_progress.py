"""An import told while it runs: lines of `progress`, an object each, at the end the `report` or a `problem`.

An import of 160,000 rows takes a minute. Whoever asks for `application/x-ndjson` sees it move, and leaving
stops it after the batch that is being stored.
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
    """Named for the negotiation; what it renders itself is a refusal, which is one object."""

    media_type = "application/x-ndjson"
    format = "ndjson"


def told(steps: Steps) -> StreamingHttpResponse:
    """Raises what the first step raises: a file in no known format has the status of any other refusal."""
    first = next(steps)
    return StreamingHttpResponse(
        _lines(_messages(first, steps), current_actor()), content_type=LinesRenderer.media_type
    )


async def _lines(messages: Generator[dict[str, Any], None, None], actor: str) -> AsyncIterator[bytes]:
    """In the one thread that the response has for what isn't asynchronous: a dry run is one transaction."""

    def line() -> bytes:
        # The request's own middleware has been left when a response streams.
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
            logger.exception("An import failed after its answer had begun.")
            detail = "The server failed. Rows that were in by then stay; the same file again brings the rest."
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
