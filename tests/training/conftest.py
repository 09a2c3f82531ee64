"""A project with runs in it. The cast (ada, mona, alice, oscar …) comes from tests/conftest.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
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
