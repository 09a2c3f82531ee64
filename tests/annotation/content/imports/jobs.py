"""Helpers that upload files over HTTP and execute the queued imports without a worker."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase
from rest_framework.test import APIClient

from annotation.content.import_jobs import transitions
from annotation.content.import_jobs.execute import execute_import


def upload(client: APIClient, data: bytes, name: str = "rows.jsonl", **fields: str) -> Any:
    body = {"file": SimpleUploadedFile(name, data), **fields}
    return client.post("/api/v1/projects/support/imports/", body, format="multipart")


def executed(client: APIClient, response: Any) -> dict[str, Any]:
    """Executes the queued import that this response describes. Returns the import in the format of the
    API."""
    assert response.status_code == 202, response.content
    id = response.json()["id"]
    # The test's transaction is never committed, so the heartbeat's own connection would not find the import.
    # For the same reason, on_commit callbacks are executed explicitly.
    with (
        patch.object(transitions, "HEARTBEAT_EVERY", timedelta(hours=1)),
        TestCase.captureOnCommitCallbacks(execute=True),
    ):
        execute_import(import_id=UUID(id))
    found: dict[str, Any] = client.get(f"/api/v1/imports/{id}/").json()
    return found


def imported(client: APIClient, data: bytes, name: str = "rows.jsonl", **fields: str) -> dict[str, Any]:
    """Uploads and imports a file, and returns the report."""
    found = executed(client, upload(client, data, name, **fields))
    assert found["state"] == "succeeded", found
    report: dict[str, Any] = found["report"]
    return report
