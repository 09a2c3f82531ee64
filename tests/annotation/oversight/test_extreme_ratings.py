"""Imported ratings of any magnitude break neither the quality report nor the card of a snapshot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from annotation.datasets.snapshots import snapshot_path
from annotation.models import DatasetSnapshot, Project, User
from preferences.formats.snapshot_parquet import read_rankings
from tests.annotation.content.imports.jobs import imported
from tests.annotation.oversight.test_reports_always_answer import PROJECT, strict_json


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


HUGE = 10**400
LARGE = 1.5e308


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_ratings_beyond_the_floating_point_range_are_left_out(
    project: Project, mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    client = client_of(mona)
    lines = [
        {
            "prompt": f"Question {task}",
            "responses": ["one", "two"],
            "tiers": [[0], [1]],
            "annotator": annotator,
            "ratings": {"0": {"help": given}, "1": {"help": other}},
        }
        for task in range(3)
        for annotator, given, other in (
            ("kim", HUGE, LARGE),
            ("lee", 1e299, LARGE),
            ("mia", 3 - task, 5e-324),
            ("noa", 2 * task, -HUGE),
        )
    ]
    imported(client, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    response = client.get(f"{PROJECT}quality/")
    assert response.status_code == 200, response.content
    (scale,) = strict_json(response.content)["ratings"]
    assert scale["scale"] == "help"
    # In each task, the first response has the rating 1e299 and two ordinary ratings.
    assert scale["n_units"] == 3
    assert scale["n_values"] == 9
    body = {"name": "m", "selection": {"aggregation": "majority"}}
    created = client.post(f"{PROJECT}snapshots/", body, format="json")
    assert created.status_code == 201, created.content
    rows = list(read_rankings(snapshot_path(DatasetSnapshot.objects.get())))
    assert len(rows) == 3
    for row in rows:
        second = strict_json(row["ratings"].encode())
        assert LARGE / 2 < max(scales["help"] for scales in second.values()) < 1.1 * LARGE
