"""A project with runs in it. The cast (ada, mona, alice, oscar …) comes from tests/conftest.py."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone

from annotation.models import Project
from annotation.services.projects import create_project
from training.models import TrainingRun

RunMaker = Callable[..., TrainingRun]


@pytest.fixture
def lab(db: None) -> Project:
    """A project of this package's own, with nothing in it."""
    return create_project(slug="lab", name="Lab")


@pytest.fixture
def make_run(lab: Project) -> RunMaker:
    """A run as launch_run leaves it, without its checks; keyword arguments override columns."""

    def make(**columns: Any) -> TrainingRun:
        columns = {"kind": "sft", "recipe": {}, "inputs": {}, "woken_at": timezone.now()} | columns
        return TrainingRun.objects.create(project=columns.pop("project", lab), **columns)

    return make


@pytest.fixture
def test_database(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts work on the test's database, and their torch on one thread. No artefacts
    yet."""
    shutil.rmtree(django_settings.ARTEFACTS, ignore_errors=True)
    settings = connection.settings_dict
    query = urlencode({"host": settings["HOST"]})
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{settings['USER']}@/{settings['NAME']}?{query}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def wait_until(happened: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
