"""Helpers shared by the training views."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from rest_framework.request import Request

from annotation.api.base import allow_in, user_of
from annotation.api.parameters import Query, name_field
from annotation.models import Project
from config.problems import FieldProblem, Problem

CHUNK_BYTES = 1 << 20


class ProjectQuery(Query):
    project = name_field("Only results from the project with this slug.")


def project_to_train(request: Request, slug: str) -> Project:
    """Return the project in which to launch a run. Raises Problem if no project with this slug is visible to
    the user."""
    project = Project.objects.visible_to(user_of(request)).filter(slug=slug).first()
    if project is None:
        raise Problem(
            f"There is no project {slug}.", errors=[FieldProblem("project", "There is no such project.")]
        )
    allow_in(request, project)
    return project


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    """Yield the file's content in chunks, which a thread reads. Under ASGI, Django would read a synchronous
    iterator to its end before sending the first chunk."""
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
