from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from annotation.models import Project
from annotation.projects.projects import create_project


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path / "artefacts"


@pytest.fixture
def wishes(db: None) -> Project:
    """A project whose annotators also rate the responses from 0 to 4."""
    project = create_project(slug="wishes")
    project.form["ratings"] = [{"name": "help", "label": "Helpful", "min": 0, "max": 4}]
    project.save()
    return project
