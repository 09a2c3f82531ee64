"""An import reports its progress after each batch. If an import is ended early, the batches that are already
stored are kept."""

from __future__ import annotations

import gzip
import io
import json
from itertools import pairwise

import pytest
from django.db import connection

from annotation.content.importing.imports import import_file, importing
from annotation.content.importing.lines import BATCH_LINES
from annotation.models import Project, Prompt

ROWS = [{"prompt": f"Question {number}", "responses": ["yes", "no"]} for number in range(2 * BATCH_LINES + 5)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), stream)
    return stream.getvalue()


@pytest.mark.parametrize("data", [LINES, gzip.compress(LINES), parquet()], ids=["jsonl", "gzip", "parquet"])
def test_progress_increases_until_the_report_is_returned(project: Project, data: bytes) -> None:
    steps = list(importing(project=project, file=io.BytesIO(data)))
    assert [step.read for step in steps] == [0, BATCH_LINES, 2 * BATCH_LINES, len(ROWS)]
    shares = [step.share for step in steps]
    assert shares[0] == 0
    # For a Parquet file, the last share can be below 1, because the footer at the file's end is read first.
    assert shares[-1] > 0.9
    assert all(before <= after for before, after in pairwise(shares))
    assert Prompt.objects.filter(project=project).count() == len(ROWS)


def test_import_closed_early_keeps_the_stored_batches(project: Project) -> None:
    steps = importing(project=project, file=io.BytesIO(LINES))
    assert [next(steps).read for _ in range(2)] == [0, BATCH_LINES]
    steps.close()
    assert Prompt.objects.filter(project=project).count() == BATCH_LINES
    assert import_file(project=project, file=io.BytesIO(LINES)).unchanged == BATCH_LINES


@pytest.mark.django_db(transaction=True)
def test_dry_run_closed_early_stores_nothing(project: Project) -> None:
    steps = importing(project=project, file=io.BytesIO(LINES), dry_run=True)
    assert [next(steps).read for _ in range(2)] == [0, BATCH_LINES]
    assert connection.in_atomic_block
    steps.close()
    assert not connection.in_atomic_block
    assert not Prompt.objects.filter(project=project).exists()
