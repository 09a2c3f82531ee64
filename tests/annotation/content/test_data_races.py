"""Concurrent imports store the same file once, and concurrently created snapshots never share a name."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from annotation.content.importing.imports import import_file
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Comparison, DatasetSnapshot, Prompt, Ranking, RankingTask, Response
from annotation.projects.projects import create_project
from config.problems import Conflict

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = 200


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTEFACTS = tmp_path / "artefacts"
    return tmp_path / "artefacts"


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Starts all calls at the same time, each on its own connection, and returns the calls' results or
    exceptions."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            barrier.wait(timeout=30)
            results[index] = calls[index]()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return results


def rows(*, ranked: bool) -> list[bytes]:
    tiers = {"tiers": [[1], [0]]} if ranked else {}
    responses = {"responses": ["a", "b"], **tiers} if ranked else {}
    return [json.dumps({"prompt": f"Question {n}", **responses}).encode() for n in range(ROWS)]


@pytest.mark.parametrize("ranked", [True, False])
def test_concurrent_imports_of_the_same_rows_in_any_order_add_each_row_once(ranked: bool) -> None:
    project = create_project(slug="wishes")
    lines = rows(ranked=ranked)
    orders = (lines, lines[::-1], lines[ROWS // 2 :] + lines[: ROWS // 2])
    reports = at_once(
        *(
            lambda order=order: import_file(project=project, file=io.BytesIO(b"\n".join(order)))
            for order in orders
        )
    )
    assert [report.failed for report in reports] == [0, 0, 0]
    assert sum(report.prompts for report in reports) == Prompt.objects.count() == ROWS
    assert sum(report.unchanged for report in reports) == 2 * ROWS
    expected = ROWS if ranked else 0
    assert sum(report.rankings for report in reports) == Ranking.objects.count() == expected
    assert RankingTask.objects.count() == Comparison.objects.count() == expected
    assert Response.objects.count() == 2 * expected


def test_only_one_of_several_concurrent_snapshots_with_one_name_is_created(artefacts: Path) -> None:
    project = create_project(slug="wishes")
    import_file(project=project, file=io.BytesIO(b"\n".join(rows(ranked=True))))
    results = at_once(*(lambda: freeze_snapshot(project=project, name="v1") for _ in range(3)))
    made = [result for result in results if isinstance(result, DatasetSnapshot)]
    assert len(made) == 1, results
    assert sum(isinstance(result, Conflict) for result in results) == 2
    folders = [path.name for path in (artefacts / "snapshots" / "wishes").iterdir()]
    assert folders == [str(DatasetSnapshot.objects.get().pk)] == [str(made[0].pk)]


def test_concurrent_snapshots_without_a_name_are_numbered(artefacts: Path) -> None:
    project = create_project(slug="wishes")
    import_file(project=project, file=io.BytesIO(b"\n".join(rows(ranked=True))))
    freeze_snapshot(project=project, name="v2")
    made = at_once(*(lambda: freeze_snapshot(project=project) for _ in range(3)))
    assert sorted(snapshot.name for snapshot in made) == ["v3", "v4", "v5"]
