"""An import streams progress and then its report; closing the connection stops the import."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from annotation.content.import_lines import BATCH_LINES
from annotation.content.imports import import_file, importing
from annotation.models import AuditEntry, Project, Prompt, User
from tests.annotation.datasets.test_data_api import body_of

ClientOf = Callable[[User | None], APIClient]

ROWS = [{"prompt": f"Question {number}", "responses": ["yes", "no"]} for number in range(2 * BATCH_LINES + 5)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def sent(client: APIClient, data: bytes, name: str = "rows.jsonl", **fields: str) -> Any:
    body = {"file": SimpleUploadedFile(name, data), **fields}
    return client.post(
        "/api/v1/projects/support/imports/", body, format="multipart", HTTP_ACCEPT="application/x-ndjson"
    )


def news(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200
    assert response["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in body_of(response).splitlines()]


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [("rows.jsonl", LINES), ("rows.jsonl.gz", gzip.compress(LINES)), ("rows.parquet", parquet())],
)
def test_progress_increases_until_the_report(
    project: Project, mona: User, client_of: ClientOf, name: str, data: bytes
) -> None:
    *progress, last = news(sent(client_of(mona), data, name))
    steps = [line["progress"] for line in progress]
    assert [step["read"] for step in steps] == [0, BATCH_LINES, 2 * BATCH_LINES, len(ROWS)]
    shares = [step["share"] for step in steps]
    assert shares[0] == 0
    assert shares[-1] > 0.9  # can be below 1, because a Parquet file's footer is read first
    assert all(before <= after for before, after in pairwise(shares))
    assert last["report"]["tasks"] == len(ROWS)
    assert Prompt.objects.filter(project=project).count() == len(ROWS)


def test_streamed_report_equals_the_unstreamed_report(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    data = LINES[: LINES.index(b"\n", 4000) + 1] + b"{broken\n"
    trial = news(sent(client_of(mona), data, dry_run="true"))[-1]["report"]
    assert not Prompt.objects.filter(project=project).exists()
    assert trial == import_file(project=project, file=io.BytesIO(data), dry_run=True).to_json()
    assert trial["failed"] == 1


def test_manager_is_the_actor_of_a_streamed_import(project: Project, mona: User, client_of: ClientOf) -> None:
    ranked = {"prompt": "Where?", "responses": ["Here.", "There."], "tiers": [[0], [1]]}
    assert news(sent(client_of(mona), json.dumps(ranked).encode()))[-1]["report"]["rankings"] == 1
    entries = AuditEntry.objects.filter(table="annotation_ranking", project_id=project.pk)
    assert set(entries.values_list("actor", flat=True)) == {f"user:{mona.pk}"}


def test_unknown_format_is_refused_before_the_stream_starts(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    response = sent(client_of(mona), b"\x00\x01\x02", "rows.bin")
    assert response.status_code == 422
    assert response.json()["type"] == "format-not-recognised"


def test_closing_the_stream_keeps_the_stored_batches(project: Project) -> None:
    steps = importing(project=project, file=io.BytesIO(LINES))
    assert [next(steps).read for _ in range(2)] == [0, BATCH_LINES]
    steps.close()
    assert Prompt.objects.filter(project=project).count() == BATCH_LINES
    assert import_file(project=project, file=io.BytesIO(LINES)).unchanged == BATCH_LINES


@pytest.mark.django_db(transaction=True)
def test_closing_the_stream_of_a_dry_run_stores_nothing(project: Project) -> None:
    steps = importing(project=project, file=io.BytesIO(LINES), dry_run=True)
    assert [next(steps).read for _ in range(2)] == [0, BATCH_LINES]
    assert connection.in_atomic_block
    steps.close()
    assert not connection.in_atomic_block
    assert not Prompt.objects.filter(project=project).exists()
